/** One `demo --once` as a process of its own, and the figures of its report. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DrillReport } from "../../src/lab/report.ts";

export const cli = fileURLToPath(new URL("../../src/cli/cli.ts", import.meta.url));

export interface Figures {
  readonly fault: string;
  readonly round: number;
  /** Of the demo: 0, 7 when an objective was not met, else it failed. */
  readonly exitCode: number | null;
  /** From the last acknowledgement before the fault to the first after; null: no report. */
  readonly writeGapMs: number | null;
  /** From the fault until a new primary was writable. */
  readonly writableMs: number | null;
  readonly switchoverGapMs: number | null;
  readonly acknowledged: number;
  readonly lost: number;
  /** Of the oldest of them; see `CheckedOrders`. */
  readonly lostAgeMs: number;
  readonly doubled: number;
  readonly safeFailed: number;
  readonly overlapMs: number;
  readonly longestWaitMs: number | null;
  readonly rejoinedMs: number | null;
  /** Why the run proves nothing: the machine was too busy, for instance. */
  readonly problems: readonly string[];
  /** When there is no report: the end of what the demo said. */
  readonly said: string;
}

export interface RunRequest {
  readonly fault: string;
  readonly round: number;
  readonly folder: string;
  readonly profile: string;
  readonly rpo: string;
  readonly signal: AbortSignal;
}

export async function runOnce(
  request: RunRequest,
): Promise<{ figures: Figures; report: DrillReport | null }> {
  const { fault, round, folder, profile, rpo, signal } = request;
  const file = join(folder, `${fault}-${round}.json`);
  const args = ["demo", "--once", "--fault", fault, "--profile", profile, "--rpo", rpo, "--json", file];
  const child = spawn(process.execPath, [cli, ...args, "--state", join(folder, "state.json")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  // It takes everything down with it at SIGINT, and is given time for that.
  const interrupt = () => child.kill("SIGINT");
  signal.addEventListener("abort", interrupt, { once: true });
  const force = setTimeout(interrupt, 300_000);
  let said = "";
  child.stderr.on("data", (chunk) => {
    said = `${said}${String(chunk)}`.slice(-2000);
  });
  const [exitCode] = (await once(child, "close")) as [number | null];
  clearTimeout(force);
  signal.removeEventListener("abort", interrupt);
  const report = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as DrillReport) : null;
  rmSync(file, { force: true });
  return { report, figures: figuresOf({ fault, round, exitCode, said }, report) };
}

function figuresOf(
  run: Pick<Figures, "fault" | "round" | "exitCode" | "said">,
  report: DrillReport | null,
): Figures {
  return {
    ...run,
    writeGapMs: report?.writeGapMs ?? null,
    writableMs: report?.chronicle.t5 ?? null,
    switchoverGapMs: report?.failback.writeGapMs ?? null,
    acknowledged: report?.orders.acknowledged ?? 0,
    lost: report?.orders.lost ?? 0,
    lostAgeMs: report?.orders.lostAgeMs ?? 0,
    doubled: report?.orders.doubled ?? 0,
    safeFailed: report?.requests.safeFailed ?? 0,
    overlapMs: report?.writers.overlapMs ?? 0,
    longestWaitMs: report?.requests.longestWaitMs ?? null,
    rejoinedMs: report?.rejoin.asStandbyMs ?? null,
    problems: report?.problems ?? ["there is no report"],
    said: report ? "" : run.said,
  };
}
