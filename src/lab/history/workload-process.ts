/** The workload as a process of its own: where clients must be elsewhere, such as in a network namespace. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { readHistoryFile } from "./history-file.ts";
import type { WorkloadOptions, WorkloadResult } from "./workload.ts";

export type WorkloadConfig = Pick<WorkloadOptions, "run" | "places"> &
  Partial<Omit<WorkloadOptions, "signal">> & { readonly historyFile: string };

const main = new URL("./workload-main.ts", import.meta.url).pathname;

export interface RunningWorkload {
  readonly pid: number;
  /** Nothing new is asked for; the last look is taken, and `result` resolves. */
  stop(): void;
  /** Rejects with what it said when it failed. */
  readonly result: Promise<WorkloadResult>;
}

/** `prefix`: put before the command, such as `["nsenter", "--net=/run/netns/clients"]`. */
export function startWorkload(config: WorkloadConfig, prefix: readonly string[] = []): RunningWorkload {
  const configFile = `${config.historyFile}.config.json`;
  // It holds connection strings, and so a password.
  writeFileSync(configFile, JSON.stringify(config), { mode: 0o600 });
  const [command, ...rest] = [...prefix, process.execPath, main, "--config", configFile];
  // The end of its stdin is an order to stop: without us there is nobody to work for.
  const child = spawn(command, rest, { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => {});
  const result = (async (): Promise<WorkloadResult> => {
    const [said, printed, [code]] = await Promise.all([
      text(child.stderr),
      text(child.stdout),
      once(child, "close") as Promise<[number | null]>,
    ]);
    if (code !== 0) throw new Error(`the workload ${config.run} ended with ${code}: ${said.slice(-2000)}`);
    const { problems } = JSON.parse(printed) as Pick<WorkloadResult, "problems">;
    return { history: readHistoryFile(config.historyFile), problems };
  })();
  return { pid: child.pid ?? 0, stop: () => child.stdin.end(), result };
}
