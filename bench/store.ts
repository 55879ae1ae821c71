/** `npm run bench:store`: what the embedded control store costs, in some 20 seconds. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { openSqliteStore } from "../src/adapters/sqlite/sqlite.ts";
import type { Store } from "../src/ports/store.ts";
import { benchFlags } from "./parts/flags.ts";
import { writeResults } from "./parts/results.ts";

const deadline = () => AbortSignal.timeout(5000);
/** CLOCK_MONOTONIC: the same for all processes of a machine. */
const now = () => Number(process.hrtime.bigint()) / 1e6;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const roles = { writer, contender, idler };
// The processes that it starts beside itself are this file again, with a part to play.
const [role, path] = process.argv.slice(2);
if (role !== undefined && role in roles) await roles[role as keyof typeof roles](path as string);
else await main(benchFlags(import.meta.url, { json: { type: "string" } }).json);

async function main(json: string | undefined): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-bench-"));
  const file = join(folder, "control.db");
  const store = await openSqliteStore({ path: file, topology: "bench" });
  try {
    const figures = {
      casAlone: summary(await casLatencies(store, "alone", 500)),
      casAmongFour: await amongFour(store, file),
      watchAcrossProcesses: await watchLatency(store, file),
      idleAgentCpuPercent: await idleCpu(file),
    };
    console.log("control store in SQLite, journal_mode=TRUNCATE, synchronous=FULL; milliseconds");
    console.table({
      "compare-and-swap, one process": figures.casAlone,
      "compare-and-swap, four processes at once": figures.casAmongFour,
      "watch, written by another process": figures.watchAcrossProcesses,
    });
    console.log(`idle agent with a watch: ${figures.idleAgentCpuPercent.toFixed(2)} % of a core`);
    writeResults(json, { sqlite: process.versions.sqlite, figures });
  } finally {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function casLatencies(store: Store, key: string, times: number): Promise<number[]> {
  const latencies: number[] = [];
  let revision = (await store.get(key, deadline()))?.revision ?? 0;
  for (let n = 0; n < times; n += 1) {
    const startedAt = now();
    const outcome = await store.compareAndSwap(
      key,
      revision,
      JSON.stringify({ n, pad: "x".repeat(300) }),
      deadline(),
    );
    latencies.push(now() - startedAt);
    if (outcome.kind !== "succeeded") throw new Error(JSON.stringify(outcome));
    revision = outcome.revision;
  }
  return latencies;
}

async function amongFour(store: Store, file: string): Promise<Summary> {
  const others = ["b", "c", "d"].map(() => start("contender", file));
  await Promise.all(others.map((child) => once(child.stdout as NodeJS.ReadableStream, "data")));
  const latencies = await casLatencies(store, "among", 500);
  for (const child of others) await stop(child);
  return summary(latencies);
}

/** Writes its own key as fast as it can. */
async function contender(file: string): Promise<void> {
  const store = await openSqliteStore({ path: file, topology: "bench" });
  console.log("ready");
  for (;;) await casLatencies(store, `contender/${process.pid}`, 100);
}

/** From before the write was asked for in one process to when the other process was told. */
async function watchLatency(store: Store, file: string): Promise<Summary> {
  const child = start("writer", file);
  const exit = once(child, "exit");
  const startedAt = new Map<number, number>();
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  lines.on("line", (line) => {
    const [revision, at] = line.split(" ").map(Number);
    startedAt.set(revision as number, at as number);
  });
  const told = new Map<number, number>();
  const stopWatch = new AbortController();
  const watching = (async () => {
    for await (const event of store.watch("written", 0, stopWatch.signal))
      if (event.kind === "changes")
        for (const change of event.changes)
          if (change.kind === "put") told.set(change.record.revision, now());
  })();
  await exit;
  await pause(100);
  stopWatch.abort();
  await watching;
  // The first may have been told in the snapshot.
  const both = [...startedAt].filter(([revision]) => told.has(revision));
  if (both.length < startedAt.size - 1)
    throw new Error(`${startedAt.size - both.length} writes were not told`);
  return summary(both.map(([revision, at]) => (told.get(revision) as number) - at));
}

async function writer(file: string): Promise<void> {
  const store = await openSqliteStore({ path: file, topology: "bench" });
  let revision = 0;
  for (let n = 0; n < 200; n += 1) {
    // Out of step with any poll.
    await pause(7 + Math.random() * 30);
    const startedAt = now();
    const outcome = await store.compareAndSwap("written", revision, String(n), deadline());
    if (outcome.kind !== "succeeded") throw new Error(JSON.stringify(outcome));
    revision = outcome.revision;
    console.log(`${revision} ${startedAt}`);
  }
  await store.close();
}

async function idleCpu(file: string): Promise<number> {
  const child = start("idler", file);
  const [line] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
  await stop(child);
  return Number(line.toString());
}

/** An agent with nothing to do: one watch, nobody writes. */
async function idler(file: string): Promise<void> {
  const store = await openSqliteStore({ path: file, topology: "bench" });
  void (async () => {
    for await (const _ of store.watch("", 0, AbortSignal.timeout(60_000)));
  })();
  await pause(2000);
  const spanMs = 6000;
  const before = process.cpuUsage();
  await pause(spanMs);
  const { user, system } = process.cpuUsage(before);
  console.log((user + system) / 10 / spanMs);
  await store.close();
}

function start(role: keyof typeof roles, file: string): ChildProcess {
  return spawn(process.execPath, [new URL(import.meta.url).pathname, role, file], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}

interface Summary {
  readonly count: number;
  readonly median: number;
  readonly p99: number;
  readonly max: number;
}

function summary(latencies: readonly number[]): Summary {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number) =>
    Math.round((sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN) * 100) / 100;
  return { count: sorted.length, median: at(0.5), p99: at(0.99), max: at(1) };
}
