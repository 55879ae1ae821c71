/** One scenario from end to end: clients outside and inside, the faults, their end, and the verdict. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { checkHistory, type HistoryVerdict } from "../history/history.ts";
import { type RunningWorkload, startWorkload } from "../history/workload-process.ts";
import { dataStoreName } from "../layout.ts";
import { type Load, startLoad } from "../load.ts";
import { monotonicMs } from "../monotonic.ts";
import { readOrders } from "../oracle-rows.ts";
import { untilRedundant } from "../rehearsal.ts";
import { type Broken, breakIt, regionOf } from "./break.ts";
import { etcdLeader, moveEtcdLeader } from "./etcd-leader.ts";
import type { Lab } from "./lab.ts";
import { MachineWatch } from "./machine-watch.ts";
import type { Scenario, ScenarioFault } from "./scenario.ts";
import { judge, type Verdict } from "./verdict.ts";

export interface PlayOptions {
  readonly lab: Lab;
  readonly scenario: Scenario;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/** Before the fault: long enough for a rate to be seen. */
const baselineMs = 3000;
/** After everything is whole: long enough to see that it stays so. */
const afterMs = 3000;
/** Beside what comes from outside: enough to see when a region stops acknowledging, to a tenth of a second. */
const insideShare = 0.5;

/** Four clients with a statement each 75 ms: enough to meet one another, and light beside the load. */
const historyClients = 4;
const historyThinkMs = 150;
/** They are told to stop: this is for one that hears nothing. */
const historyForAtMostMs = 3_600_000;

interface Clients {
  readonly inside: string | null;
  readonly run: string;
  readonly load: Load;
}

export async function play(options: PlayOptions): Promise<Verdict> {
  const { lab, scenario, say, signal } = options;
  const { observer, topology, world, network } = lab;
  const regionByMember = Object.fromEntries(
    topology.dataStores.flatMap((store) => store.members.map((member) => [member.name, member.region])),
  );
  const lease = () => {
    const record = observer.seen.leases.get(dataStoreName);
    if (!record) throw new Error("there is no lease record");
    return record;
  };
  const parts = { world, network, primaryRegion: () => regionByMember[lease().holder] ?? "" };

  await placeEtcdLeader(options, parts);
  await using machine = await MachineWatch.start(world.layout.root);
  const clients = startClients(options);
  const workload = scenario.topology.replication === "synchronous" ? startHistory(options) : null;
  try {
    await untilAcknowledged(clients, signal);
    await sleep(baselineMs, undefined, { signal });
    const before = lease();
    say(
      `the primary is ${before.holder}, epoch ${before.epoch}; etcd is led by ${await etcdLeader(world.layout)}`,
    );

    const asking = new AbortController();
    const { statusSays } = scenario.expect;
    const said = statusSays === null ? null : askStatus(lab, new RegExp(statusSays, "i"), asking.signal);
    const [loadAverage = 0] = loadavg();
    const faults = await Promise.all(scenario.faults.map((fault) => breakFor(options, parts, fault)));
    const healedAt = monotonicMs();
    asking.abort();
    say(
      `the faults are over: ${lease().holder}, epoch ${lease().epoch}, etcd is led by ${await etcdLeader(world.layout)}; waiting until every standby streams`,
    );

    const wholeAt = await untilRedundant(
      observer,
      topology,
      scenario.expect.wholeWithin + 60_000,
      signal,
    ).then(
      () => monotonicMs(),
      (error: Error) => {
        if (signal.aborted) throw error;
        say(error.message);
        return null;
      },
    );
    await sleep(afterMs, undefined, { signal });
    const stalls = machine.longest;
    say("the clients stop; the oracle reads the database");
    workload?.stop();
    const written = await workload?.result;
    const groups = await Promise.all(
      clients.map(async ({ inside, load }) => ({ inside, history: await load.stop() })),
    );
    const after = lease();
    const primary = world.layout.regions.find(({ member }) => member?.name === after.holder);
    if (!primary) throw new Error(`no region has ${after.holder}`);
    return judge({
      scenario,
      groups,
      stored: await readOrders(world.databaseUrl(primary.ports.gate, primary.host)),
      regionOf: regionByMember,
      faultAt: Math.min(...faults.map(({ at }) => at)),
      healedAt,
      wholeAt,
      epoch: { before: before.epoch, after: after.epoch },
      loadAverage,
      stalls,
      statusSaid: said === null ? null : await said,
      asked: faults.flatMap(({ asked }) => asked ?? []),
      history: written ? withProblems(checkHistory(written.history), written.problems) : null,
    });
  } finally {
    workload?.stop();
    await workload?.result.catch(() => {});
    for (const { load } of clients) await load[Symbol.asyncDispose]();
  }
}

type Parts = Parameters<typeof breakIt>[0];

async function placeEtcdLeader({ scenario, lab, say }: PlayOptions, parts: Parts): Promise<void> {
  if (scenario.etcdLeader === null) return;
  const to = await regionOf(parts, scenario.etcdLeader);
  if ((await etcdLeader(lab.world.layout)) === to) return;
  await moveEtcdLeader(lab.world.layout, to);
  say(`the leadership of etcd was moved to ${to}`);
}

/** Clients in a network of their own, who know all edges, and in each region some who know only the region's edge. */
function startClients({ lab, scenario }: PlayOptions): Clients[] {
  const { network, world } = lab;
  const id = randomUUID().slice(0, 8);
  const edges = world.layout.regions.map(({ name, host, ports }) => ({
    name,
    url: `http://${host}:${ports.edge}`,
  }));
  const recordFile = (run: string) => join(world.layout.root, `${run}.json`);
  const outside = `${id}-outside`;
  const all: Clients[] = [
    {
      inside: null,
      run: outside,
      load: startLoad(
        {
          run: outside,
          places: edges.map((own) => ({
            name: `near ${own.name}`,
            edges: [own.url, ...edges.filter((edge) => edge !== own).map(({ url }) => url)],
          })),
          ...scenario.load,
          recordFile: recordFile(outside),
        },
        { prefix: network.clients.prefix },
      ),
    },
  ];
  for (const [index, { name, prefix, member }] of world.layout.regions.entries()) {
    const edge = edges[index];
    if (!member || !edge) continue;
    const run = `${id}-${name}`;
    const request = {
      run,
      places: [{ name: `inside ${name}`, edges: [edge.url] }],
      ordersPerSecond: scenario.load.ordersPerSecond * insideShare,
      readsPerSecond: 0,
      // Not repeatable: one that was sent is waited for to the end, so that a late acknowledgement is heard.
      unsafeShare: 0.5,
      deadlineMs: 10_000,
      recordFile: recordFile(run),
    };
    all.push({ inside: name, run, load: startLoad(request, { prefix }) });
  }
  return all;
}

/** Sessions through the edges' TCP listeners: registers, lists and a bank, whose history must be one that can be explained. */
function startHistory({ lab: { world, network } }: PlayOptions): RunningWorkload {
  const run = randomUUID().slice(0, 8);
  return startWorkload(
    {
      run,
      places: world.layout.regions.map(({ host, ports }) => world.databaseUrl(ports.edgeTcp, host)),
      clients: historyClients,
      thinkMs: historyThinkMs,
      forMs: historyForAtMostMs,
      historyFile: join(world.layout.root, `history-${run}.jsonl`),
    },
    network.clients.prefix,
  );
}

function withProblems(verdict: HistoryVerdict, problems: readonly string[]): HistoryVerdict {
  return { ...verdict, problems: [...verdict.problems, ...problems] };
}

async function untilAcknowledged(clients: readonly Clients[], signal: AbortSignal): Promise<void> {
  const until = monotonicMs() + 30_000;
  for (const { run, load } of clients)
    while ((load.latest()?.totals.acknowledged ?? 0) < 10) {
      if (monotonicMs() > until)
        throw new Error(
          `clients ${run} were not acknowledged 10 orders within 30 s: ${JSON.stringify(load.latest()?.totals ?? "no word from them")}`,
        );
      await sleep(50, undefined, { signal });
    }
}

/** Resolves when the fault is over, undone where it does not end by itself. */
async function breakFor({ say, signal }: PlayOptions, parts: Parts, fault: ScenarioFault): Promise<Broken> {
  await sleep(fault.after, undefined, { signal });
  const broken = await breakIt(parts, fault);
  say(`${fault.fault}: ${broken.text}, for ${fault.for / 1000} s`);
  try {
    await sleep(Math.max(0, broken.at + fault.for - monotonicMs()), undefined, { signal });
  } finally {
    await broken.end(signal.aborted ? AbortSignal.timeout(10_000) : signal);
  }
  return broken;
}

/** The first status of an agent that says what is expected; what was said last when none does. */
async function askStatus(lab: Lab, pattern: RegExp, until: AbortSignal): Promise<string> {
  const token = readFileSync(join(lab.world.layout.secretsDir, "token"), "utf8").trim();
  let last = "";
  while (!until.aborted) {
    for (const { host, ports } of lab.world.layout.regions) {
      const answer = await fetch(`http://${host}:${ports.agent}/v1/status`, {
        headers: { authorization: `Bearer ${token}` },
        signal: AbortSignal.timeout(2000),
      }).catch(() => null);
      if (answer?.ok) last = await answer.text().catch(() => last);
      if (pattern.test(last)) return last;
    }
    await sleep(1000, undefined, { signal: until }).catch(() => undefined);
  }
  return last;
}
