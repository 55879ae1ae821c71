/** One run of wrk, read. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";

export interface Measured {
  readonly requestsPerSecond: number;
  /** Of the process measured, user and system: what a request costs, however busy the machine is. */
  readonly cpuMicroseconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly errors: number;
}

const connections = 64;
/** The load and the origin share the second core; the proxy has the first for itself. */
const loadCore = "1";

export async function measure(url: string, pid: number, seconds: number): Promise<Measured> {
  const before = cpuSeconds(pid);
  const command = `-c ${loadCore} wrk -t1 -c${connections} -d${seconds}s --latency ${url}`;
  const { stdout } = await promisify(execFile)("taskset", command.split(" "));
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0);
  return {
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1] ?? 0),
    cpuMicroseconds: ((cpuSeconds(pid) - before) / requests) * 1e6,
    p50Ms: milliseconds(/^\s+50%\s+(\S+)/m.exec(stdout)?.[1]),
    p99Ms: milliseconds(/^\s+99%\s+(\S+)/m.exec(stdout)?.[1]),
    errors: Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0) + socketErrors(stdout),
  };
}

/** With its children: nginx works in one. Fields 14 and 15 of proc(5), in hundredths; the name before them may hold spaces. */
function cpuSeconds(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const own = (Number(fields[11]) + Number(fields[12])) / 100;
  return children.reduce((sum, child) => sum + cpuSeconds(Number(child)), own);
}

function socketErrors(text: string): number {
  const counts = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text);
  return counts === null ? 0 : counts.slice(1).reduce((sum, count) => sum + Number(count), 0);
}

function milliseconds(text: string | undefined): number {
  const match = /^([\d.]+)(us|ms|s)$/.exec(text ?? "");
  if (!match) return Number.NaN;
  return Number(match[1]) * { us: 0.001, ms: 1, s: 1000 }[match[2] as "us" | "ms" | "s"];
}

/** Share of all cores that is used by others now, over half a second. */
export async function measureBusyRatio(): Promise<number> {
  const before = jiffies();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const after = jiffies();
  return 1 - (after.idle - before.idle) / (after.all - before.all);
}

/** First line of proc_stat(5): idle and iowait are the 4th and 5th. */
function jiffies(): { readonly idle: number; readonly all: number } {
  const fields = (readFileSync("/proc/stat", "utf8").split("\n")[0] ?? "").split(/\s+/).slice(1).map(Number);
  return { idle: (fields[3] ?? 0) + (fields[4] ?? 0), all: fields.reduce((sum, each) => sum + each, 0) };
}
