/** Starts the load in its own process, hears its statistics as they come, and gets the record of every request at the end. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { SpanMs } from "../core/model/time.ts";
import { type LoadConfig, loadDefaults } from "./load-generator.ts";
import { type LoadHistory, readHistory } from "./load-record.ts";
import type { LiveStats } from "./load-stats.ts";

export type LoadRunConfig = LoadConfig & {
  /** Where the record of every request is written at the end. */
  readonly recordFile: string;
};

/** What must be said; the rest has defaults (`loadDefaults`). */
export type LoadRequest = Pick<LoadRunConfig, "run" | "places" | "recordFile"> & Partial<LoadConfig>;

/** Parent to load, a line of JSON each. */
export type LoadOrder =
  | { readonly kind: "stop" }
  | { readonly kind: "rates"; readonly ordersPerSecond: number; readonly readsPerSecond: number };

/** Load to parent, a line of JSON each; statistics every 100 ms. */
export type LoadReport =
  | LiveStats
  | {
      readonly kind: "finished";
      readonly recordFile: string;
      readonly requests: number;
      readonly problems: readonly string[];
    };

export interface Load extends AsyncDisposable {
  readonly pid: number;
  /** The newest statistics; null before the first. */
  latest(): LiveStats | null;
  setRates(rates: { readonly ordersPerSecond: number; readonly readsPerSecond: number }): void;
  /** Sends nothing more, waits for what is on its way, and resolves with every request of the run. */
  stop(): Promise<LoadHistory>;
}

export interface LoadSurroundings {
  readonly onLive?: (stats: LiveStats) => void;
  /** Put before the command, such as `["nsenter", "--net=/run/netns/clients"]`. */
  readonly prefix?: readonly string[];
}

const main = new URL("./load-main.ts", import.meta.url).pathname;
/** Beyond the deadline of the last request: writing the record. */
const writeMs: SpanMs = 10_000;

export function startLoad(request: LoadRequest, surroundings: LoadSurroundings = {}): Load {
  const config = configFrom(request);
  const configFile = `${config.recordFile}.config.json`;
  writeFileSync(configFile, JSON.stringify(config), { mode: 0o600 });

  const [command, ...rest] = [...(surroundings.prefix ?? []), process.execPath, main, "--config", configFile];
  const child = spawn(command ?? process.execPath, rest, { stdio: ["pipe", "pipe", "inherit"] });
  // `close` and not `exit`: what it said last may come after its end.
  const exited = once(child, "close");
  // A command that is not there is told by `stop`, not by an unhandled rejection in the meantime.
  exited.catch(() => {});
  let latest: LiveStats | null = null;
  let finished = false;
  createInterface(child.stdout).on("line", (line) => {
    const report = JSON.parse(line) as LoadReport;
    if (report.kind === "finished") finished = true;
    else {
      latest = report;
      surroundings.onLive?.(report);
    }
  });
  // Writing to a process that has just ended is answered by its exit.
  child.stdin.on("error", () => {});
  const order = (order: LoadOrder) => child.stdin.write(`${JSON.stringify(order)}\n`);

  return {
    pid: Number(child.pid),
    latest: () => latest,
    setRates: (rates) => void order({ kind: "rates", ...rates }),
    async stop() {
      order({ kind: "stop" });
      const patience = setTimeout(() => child.kill("SIGKILL"), config.deadlineMs + writeMs);
      await exited.finally(() => clearTimeout(patience));
      if (!finished)
        throw new Error(
          `the load (process ${child.pid}) ended with ${child.exitCode ?? child.signalCode} and without a record`,
        );
      return readHistory(config.recordFile);
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await exited.catch(() => {});
    },
  };
}

/** Refuses what could not prove anything. */
export function configFrom(request: LoadRequest): LoadRunConfig {
  const config = { ...loadDefaults, ...request };
  const wrong = [
    /^[A-Za-z0-9-]{1,40}$/.test(config.run) ? "" : "run: 1 to 40 letters, digits and dashes",
    config.places.length > 0 && config.places.every(({ edges }) => edges.length > 0)
      ? ""
      : "places: at least one, each with at least one edge",
    0 <= config.unsafeShare && config.unsafeShare <= 1 ? "" : "unsafeShare: 0 to 1",
    config.ordersPerSecond >= 0 && config.readsPerSecond >= 0 ? "" : "rates: 0 or more a second",
    config.attemptTimeoutMs > 0 && config.deadlineMs >= config.attemptTimeoutMs
      ? ""
      : "deadlineMs: at least attemptTimeoutMs, which is above 0",
  ].filter(Boolean);
  if (wrong.length > 0) throw new RangeError(`cannot load: ${wrong.join("; ")}`);
  return config;
}
