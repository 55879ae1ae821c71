/** One run: a system started, clients, one fault and its end, what clients were told, and what is there afterwards. */
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startLoad } from "../../src/lab/load.ts";
import { monotonicMs } from "../../src/lab/monotonic.ts";
import { findLabs } from "../../src/lab/net/labs.ts";
import { MachineWatch } from "../../src/lab/net/machine-watch.ts";
import type { FaultName } from "./faults.ts";
import { strike } from "./faults.ts";
import { type Evidence, type Figures, figuresOf } from "./figures.ts";
import { ask, untilAnswered, untilRow } from "./peer-database.ts";
import type { RunningSystem, Surroundings, System, SystemRegion } from "./system.ts";
import { type Term, writesTable } from "./writer-record.ts";
import { startWriters, type Writers } from "./writers.ts";

/** Before the fault: long enough for a rate to be seen. */
const baselineMs = 3000;
/** After somebody else acknowledged: long enough to see who else does. */
const watchedMs = 8000;
/** After the fault: whoever comes back and still thinks it leads has that long to say so. */
const returnMs = 10_000;
/** The same as the orders service has. */
const times = { connectTimeoutMs: 1000, statementTimeoutMs: 1500 } as const;
/** Inside, nothing but the member is asked: a late acknowledgement is waited for. */
const insideStatementTimeoutMs = 5000;
const outsideEveryMs = 40;
const insideEveryMs = 60;
const insideClients = 3;

export interface RunRequest extends Surroundings {
  readonly system: System;
  readonly fault: FaultName;
  readonly round: number;
  /** Where all that a run heard, and every log, is kept, for whoever doubts a figure; null: nowhere. */
  readonly evidenceFolder: string | null;
}

export async function measure(request: RunRequest): Promise<Figures> {
  const running = await request.system.start(request);
  try {
    try {
      return await measureRunning(request, running);
    } finally {
      if (request.evidenceFolder !== null) running.keepLogs(join(request.evidenceFolder, nameOf(request)));
    }
  } finally {
    await running.close();
  }
}

function nameOf({ system, fault, round }: RunRequest): string {
  return `${system.name}-${fault}-${round}`;
}

async function measureRunning(request: RunRequest, running: RunningSystem): Promise<Figures> {
  const { system, fault, round, say, signal } = request;
  const run = `${fault}-${randomUUID().slice(0, 8)}`;
  const [entry] = running.regions;
  await untilAnswered(entry?.writerUrl ?? "", writesTable, signal);
  const before = await leader(running, signal);
  const region = regionOf(running, before);
  await using outside = startOutside(running, run);
  await using inside = startInside(running, run, region);
  await using load = startHttp(running, run);
  await using machine = await MachineWatch.start(running.folder);
  await untilWritten([outside, inside], signal);
  await sleep(baselineMs, undefined, { signal });

  const [loadAverage = 0] = loadavg();
  const labsBeside = findLabs().length - 1;
  const struck = await strike({
    name: fault,
    system: running,
    region,
    spared: new Set([inside.pid]),
    atMostMs: system.patienceMs + watchedMs,
    signal,
  });
  say(`${fault} in ${region.name}`);
  let endedAt: number;
  try {
    await untilSettled(request, outside, before, struck.at);
    endedAt = monotonicMs();
  } finally {
    await struck.end();
  }
  await sleep(returnMs, undefined, { signal });
  const stalls = machine.longest;
  const [outsideRecord, insideRecord, http] = await Promise.all([outside.stop(), inside.stop(), load.stop()]);
  const evidence: Evidence = {
    system: system.name,
    fault,
    round,
    at: new Date().toISOString(),
    mayLose: system.rpoMs === null ? null : writesWithin(system.rpoMs, running.regions.length),
    loadAverage,
    labsBeside,
    stalls,
    before,
    faultAt: struck.at,
    endedAt,
    outside: outsideRecord,
    inside: insideRecord,
    http,
    stored: await readBack(running, run, signal),
  };
  if (request.evidenceFolder !== null)
    writeFileSync(
      join(request.evidenceFolder, `${nameOf(request)}.json`),
      JSON.stringify({ ...evidence, stored: [...(evidence.stored ?? [])] }),
    );
  return figuresOf(evidence);
}

/** Three writers outside of all regions, each with another region's door first. */
function startOutside({ network, folder, regions }: RunningSystem, run: string): Writers {
  const urls = regions.map(({ writerUrl }) => writerUrl);
  const clients = regions.map(({ name }, index) => ({
    name: `near ${name}`,
    urls: [...urls.slice(index), ...urls.slice(0, index)],
    everyMs: outsideEveryMs,
  }));
  return startWriters(
    { run, clients, ...times, recordFile: join(folder, "outside.json") },
    network.clients.prefix,
  );
}

/** Beside the member that is to be struck, straight to it. */
function startInside({ network, folder }: RunningSystem, run: string, region: SystemRegion): Writers {
  const place = network.regions.find(({ name }) => name === region.name);
  const clients = Array.from({ length: insideClients }, (_, index) => ({
    name: `inside ${index}`,
    urls: [region.directUrl],
    everyMs: insideEveryMs,
  }));
  return startWriters(
    {
      run,
      clients,
      ...times,
      statementTimeoutMs: insideStatementTimeoutMs,
      recordFile: join(folder, "inside.json"),
    },
    place?.prefix ?? [],
  );
}

function startHttp({ network, folder, regions }: RunningSystem, run: string) {
  const edges = regions.map(({ httpUrl }) => httpUrl);
  return startLoad(
    {
      run,
      places: regions.map(({ name }, index) => ({
        name: `near ${name}`,
        edges: [...edges.slice(index), ...edges.slice(0, index)],
      })),
      ordersPerSecond: 20,
      readsPerSecond: 20,
      recordFile: join(folder, "http.json"),
    },
    { prefix: network.clients.prefix },
  );
}

async function untilWritten(writers: readonly Writers[], signal: AbortSignal): Promise<void> {
  const until = monotonicMs() + 30_000;
  for (const one of writers)
    while (one.latest().acknowledged < 20) {
      if (until < monotonicMs())
        throw new Error(
          `20 writes were not acknowledged within 30 s: ${JSON.stringify(one.latest().failures)}`,
        );
      await sleep(50, undefined, { signal });
    }
}

/**
 * Resolves `watchedMs` after somebody else acknowledged; where nobody does, when that can no longer be expected. A primary
 * that crashed and came back in place has settled when it was heard for as long.
 */
async function untilSettled(
  { system, fault, signal }: RunRequest,
  outside: Writers,
  before: Term,
  faultAt: number,
): Promise<void> {
  const until = faultAt + system.patienceMs;
  const isSame = (term: Term) => term.member === before.member && term.epoch === before.epoch;
  for (;;) {
    await sleep(100, undefined, { signal });
    const now = monotonicMs();
    const { terms } = outside.latest();
    const next = terms.find((term) => !isSame(term) && term.firstAt > faultAt);
    if (next && next.firstAt + watchedMs <= now) return;
    const old = terms.find(isSame);
    const isBack = fault === "primary-crash" && !next && old !== undefined && faultAt + 2 * watchedMs <= now;
    if (isBack && now - old.lastAt < 500) return;
    if (until <= now && !next) return;
  }
}

async function leader({ regions }: RunningSystem, signal: AbortSignal): Promise<Term> {
  const { member, epoch } = await untilRow(
    regions[0]?.writerUrl ?? "",
    "SELECT member, epoch FROM holdfast.epoch ORDER BY epoch DESC LIMIT 1",
    signal,
  );
  return { member: String(member), epoch: Number(epoch) };
}

/** What a promise in time is in writes. */
function writesWithin(spanMs: number, regions: number): number {
  return Math.ceil(spanMs * (regions / outsideEveryMs + insideClients / insideEveryMs));
}

function regionOf({ regions }: RunningSystem, { member }: Term): SystemRegion {
  const found = regions.find((region) => region.member === member);
  if (!found) throw new Error(`no region has ${member}`);
  return found;
}

/** Rows as the leader of the highest epoch has them, as far as any door leads to one; null: none does. */
async function readBack(
  { regions }: RunningSystem,
  run: string,
  signal: AbortSignal,
): Promise<ReadonlySet<string> | null> {
  const until = monotonicMs() + 60_000;
  while (monotonicMs() < until) {
    const answers = await Promise.all(
      regions.map(({ writerUrl }) =>
        ask(
          writerUrl,
          `SELECT (SELECT max(epoch) FROM holdfast.epoch) AS epoch, array_agg(client || ' ' || number) AS rows
           FROM bench_writes WHERE run = '${run}' AND NOT pg_is_in_recovery()`,
        ).catch(() => []),
      ),
    );
    const best = answers.flat().toSorted((a, b) => Number(b.epoch) - Number(a.epoch))[0];
    if (best?.rows) return new Set(best.rows as string[]);
    await sleep(500, undefined, { signal });
  }
  return null;
}
