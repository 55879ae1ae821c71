/** Starts a real fencer process for a test and reads what it says. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fencerArguments } from "../../src/adapters/fencer/fencer-command.ts";
import { until } from "./fake-member.ts";

export interface FencerProcess {
  readonly child: ChildProcess;
  readonly socket: string;
  readonly stateFile: string;
  said(): string;
  /** Resolves with its exit code, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<number | string | null>;
}

export async function startFencer(
  folder: string,
  place: { readonly dataDir: string },
  more: Readonly<Record<string, unknown>> = {},
): Promise<FencerProcess> {
  const socket = join(folder, "run", "fencer.sock");
  const stateFile = join(folder, "fencer.state");
  const config = join(folder, "fencer.json");
  writeFileSync(
    config,
    JSON.stringify({ member: "pg-test", dataDir: place.dataDir, socket, stateFile, ...more }),
  );
  const child = spawn(process.execPath, fencerArguments(config), { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stdout?.on("data", (chunk) => {
    said += chunk;
  });
  child.stderr?.on("data", (chunk) => {
    said += chunk;
  });
  await until(() => said.includes('"ready":true') || child.exitCode !== null, 10_000, "the fencer is ready");
  return {
    child,
    socket,
    stateFile,
    said: () => said,
    async end(signal) {
      if (child.exitCode === null && child.signalCode === null) {
        const exited = once(child, "exit");
        child.kill(signal);
        await exited;
      }
      return child.exitCode ?? child.signalCode;
    },
  };
}
