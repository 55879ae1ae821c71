/** Writers as a process of their own, in a network of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { LiveWriters, WriterConfig, WriterRecord } from "./writer-record.ts";

const main = fileURLToPath(new URL("./writer-main.ts", import.meta.url));
/** Beyond the longest write: writing the record. */
const writeMs = 10_000;

export interface Writers extends AsyncDisposable {
  readonly pid: number;
  latest(): LiveWriters;
  /** Nothing more is written; resolves with everything that was acknowledged. */
  stop(): Promise<WriterRecord>;
}

export function startWriters(config: WriterConfig, prefix: readonly string[]): Writers {
  const configFile = `${config.recordFile}.config.json`;
  // It holds connection strings, and so a password.
  writeFileSync(configFile, JSON.stringify(config), { mode: 0o600 });
  const [command = "", ...args] = [...prefix, process.execPath, main, "--config", configFile];
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const gone = once(child, "exit");
  // Told by `stop`, not by an unhandled rejection in the meantime.
  gone.catch(() => undefined);
  child.stdin.on("error", () => undefined);
  let latest: LiveWriters = { terms: [], acknowledged: 0, failures: {} };
  createInterface(child.stdout).on("line", (line) => {
    latest = JSON.parse(line) as LiveWriters;
  });
  return {
    pid: child.pid ?? 0,
    latest: () => latest,
    async stop() {
      child.stdin.end();
      const force = setTimeout(() => child.kill("SIGKILL"), config.statementTimeoutMs + writeMs);
      await gone.finally(() => clearTimeout(force));
      if (child.exitCode !== 0)
        throw new Error(`the writers ended with ${child.exitCode ?? child.signalCode} and without a record`);
      return JSON.parse(readFileSync(config.recordFile, "utf8")) as WriterRecord;
    },
    [Symbol.asyncDispose]: () => end(child, gone),
  };
}

async function end(child: ChildProcess, gone: Promise<unknown>): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  await gone.catch(() => undefined);
}
