#!/usr/bin/env node
// Starts the command line on a Node that runs TypeScript: this one if it is new enough, else the one installed beside us.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const cli = join(dirname(fileURLToPath(import.meta.url)), "..", "src", "cli", "cli.ts");
const [major, minor] = process.versions.node.split(".").map(Number);

if (major > 24 || (major === 24 && minor >= 15)) {
  await import(cli);
} else {
  const require = createRequire(import.meta.url);
  let node;
  try {
    node = require.resolve(`node-${process.platform}-${process.arch}/bin/node`);
  } catch {
    console.error(
      `holdfast needs Node >= 24.15; this is ${process.versions.node}, and no newer one is installed beside it.`,
    );
    console.error(
      `Install Node 24 (https://nodejs.org), or run "npm i node-${process.platform}-${process.arch}@24" here.`,
    );
    process.exit(1);
  }
  const run = spawn(node, [cli, ...process.argv.slice(2)], { stdio: "inherit" });
  // Whoever stops us means the one that does the work. Ctrl-C reaches it by itself.
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => run.kill(signal));
  process.on("SIGINT", () => undefined);
  run.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 1)));
}
