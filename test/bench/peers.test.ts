/** The figures of bench/peers.ts, from what clients were told. */
import assert from "node:assert/strict";
import test from "node:test";
import { type Evidence, type Figures, figuresOf } from "../../bench/peers-parts/figures.ts";
import { judgeTargets, medianGap, summarize } from "../../bench/peers-parts/summary.ts";
import type { Acknowledgement } from "../../bench/peers-parts/writer-record.ts";

const old = { member: "pg-west", epoch: 1 };
const next = { member: "pg-central", epoch: 2 };

test("the write gap runs from the last acknowledgement before the fault to the first after it", () => {
  const { writeGapMs, newPrimaryMs } = figures({
    outside: [ack(old, 900), ack(old, 990), ack(next, 3000), ack(next, 3010), ack(next, 8900)],
  });
  assert.equal(writeGapMs, 5890, "a silence later in the fault counts as well");
  assert.equal(newPrimaryMs, 2000);
  assert.equal(figures({ outside: steady(old, 900, 990).concat(steady(next, 3000, 9000)) }).writeGapMs, 2010);
});

test("a silence before the fault, and one after it was taken back, are not the fault's", () => {
  const outside = [ack(old, 100), ...steady(old, 900, 9000), ack(next, 30_000)];
  assert.equal(figures({ outside }).writeGapMs, 10);
});

test("writes that came back only when the fault was taken back have no gap", () => {
  assert.equal(figures({ outside: [ack(old, 990), ack(old, 9100)] }).writeGapMs, null);
  assert.equal(figures({ outside: [ack(old, 990)] }).writeGapMs, null);
  assert.equal(figures({ outside: [...steady(old, 990, 1500), ack(next, 20_000)] }).writeGapMs, null);
});

test("two writers are counted by writes that were sent after the later one's first acknowledgement", () => {
  const outside = [ack(old, 990), ...steady(next, 3000, 9000)];
  const inFlight = { ...ack(old, 4000), sentAt: 2990 };
  assert.equal(figures({ outside, inside: [ack(old, 990), inFlight] }).overlapWrites, 0);
  const { overlapWrites, overlapMs, oldPrimaryAcksMs } = figures({
    outside,
    inside: [ack(old, 990), inFlight, ack(old, 3501), ack(old, 4501)],
  });
  assert.deepEqual({ overlapWrites, overlapMs }, { overlapWrites: 2, overlapMs: 1500 });
  assert.equal(oldPrimaryAcksMs, 3501);
});

test("an acknowledged write that the last leader lacks is lost, and an unread table proves nothing", () => {
  const outside = steady(old, 900, 990);
  const inside = [ack(old, 990)];
  const stored = new Set([...outside.slice(1), ...inside].map(({ client, number }) => `${client} ${number}`));
  assert.equal(figures({ outside, inside, stored }).lost, 1);
  const unread = figures({ outside, stored: null });
  assert.equal(unread.lost, null);
  assert.match(unread.problems.join(), /could not be read/);
});

test("a run whose primary had changed before the fault proves nothing", () => {
  const outside = [...steady(next, 900, 940), ...steady(old, 950, 990)];
  assert.match(figures({ outside }).problems.join(), /changed before the fault/);
  assert.deepEqual(figures({ outside: steady(old, 900, 990) }).problems, []);
});

test("a run that did not come back is longer than any that did", () => {
  assert.equal(medianGap([3, 1, 2]), 2);
  assert.equal(medianGap([1, 2]), 1.5);
  assert.equal(medianGap([1, null, null]), null);
});

test("a target is met by the ratio of the medians, and by nothing that was not run", () => {
  const runs = [run("holdfast-fast-sync", 2000), run("pg_auto_failover-tuned-sync", 5000)];
  const met = (all: readonly Figures[]) => judgeTargets(summarize(all)).map((target) => target.met);
  assert.deepEqual(met(runs), [true, true], "2.5 times, and safe");
  assert.deepEqual(met([run("holdfast-fast-sync", 2001), ...runs.slice(1)]), [false, true]);
  assert.deepEqual(met([run("holdfast-fast-sync", null), ...runs.slice(1)]), [false, true]);
  assert.deepEqual(met([...runs, run("patroni-fastest-sync", null)]), [true, true, true]);
  assert.deepEqual(met([{ ...run("holdfast-fast-sync", 1), overlapWrites: 1 }]), [false]);
  assert.deepEqual(met([{ ...run("holdfast-fast-sync", 1), lost: 1 }]), [false]);
  const asynchronous = { ...run("holdfast-fast-async", 1), mayLose: 250 };
  assert.deepEqual(met([{ ...asynchronous, lost: 250 }]), [true]);
  assert.deepEqual(met([{ ...asynchronous, lost: 251 }, asynchronous]), [false], "of one run, not of all");
});

let numbers = 0;

function ack(term: { readonly member: string; readonly epoch: number }, doneAt: number): Acknowledgement {
  return { ...term, client: "near west", number: numbers++, sentAt: doneAt - 1, doneAt };
}

function steady(term: Parameters<typeof ack>[0], from: number, until: number): Acknowledgement[] {
  const count = Math.floor((until - from) / 10) + 1;
  return Array.from({ length: count }, (_, index) => ack(term, from + 10 * index));
}

/** The fault lasts from 1000 to 9000. */
function figures(told: {
  readonly outside: readonly Acknowledgement[];
  readonly inside?: readonly Acknowledgement[];
  readonly stored?: Evidence["stored"];
}): Figures {
  const { outside, inside = [ack(old, 990)] } = told;
  return figuresOf({
    system: "holdfast-fast-sync",
    fault: "region-kill",
    round: 1,
    at: "2026-11-22T12:00:00.000Z",
    mayLose: 0,
    loadAverage: 0,
    labsBeside: 0,
    stalls: { disk: null, cpu: null },
    before: old,
    faultAt: 1000,
    endedAt: 9000,
    outside: { acknowledgements: outside, failures: {}, stalledMs: 0 },
    inside: { acknowledgements: inside, failures: {}, stalledMs: 0 },
    http: { schema: 1, run: "run", startedAt: 0, stoppedAt: 9000, endedAt: 9000, problems: [], requests: [] },
    stored:
      told.stored === undefined
        ? new Set([...outside, ...inside].map(({ client, number }) => `${client} ${number}`))
        : told.stored,
  });
}

function run(system: string, writeGapMs: number | null): Figures {
  return { ...figures({ outside: steady(old, 900, 990), stored: new Set() }), system, writeGapMs, lost: 0 };
}
