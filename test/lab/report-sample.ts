/** A made-up failover to render: 300 requests a second for 30 s, a region lost at 8 s, writes back 1.94 s later. */
import type { LoadHistory, RequestRecord } from "../../src/lab/load-record.ts";
import { judgeRun } from "../../src/lab/oracle.ts";
import { composeReport, type DrillReport, type ReportRequest } from "../../src/lab/report.ts";

const began = 500_000;
const faultAt = began + 8_000;
const writableAt = faultAt + 1_900;
const failbackAt = began + 22_000;
const endedAt = began + 30_000;

function requestAt(number: number, chance: () => number): RequestRecord {
  const dueAt = began + (number * 1000) / 300;
  const kind = number % 3 > 0 ? "read" : number % 30 === 0 ? "unsafe-order" : "order";
  const isOrder = kind !== "read";
  const normal = 1.5 + 3 * chance() + (chance() < 0.02 ? 30 * chance() : 0);
  const held = isOrder && faultAt - 20 < dueAt && dueAt < writableAt;
  const paused = isOrder && failbackAt < dueAt && dueAt < failbackAt + 220;
  const waited = held
    ? writableAt - dueAt + 40 + 90 * chance()
    : paused
      ? failbackAt + 220 - dueAt + 20 * chance()
      : normal;
  const failed = held && kind === "unsafe-order" && dueAt < faultAt + 400;
  const doneAt = dueAt + (failed ? 15 : waited);
  const [member, epoch] =
    doneAt < faultAt ? ["pg-west", 3] : doneAt < failbackAt + 200 ? ["pg-east", 4] : ["pg-west", 5];
  return {
    number,
    kind,
    place: ["west", "east", "north"][number % 3] ?? "",
    dueAt,
    lastTryAt: dueAt,
    doneAt,
    status: failed ? 0 : 200,
    failure: failed ? "reset" : "",
    edge: "http://127.0.0.1:8000",
    region: String(member).slice(3),
    tries: held ? 2 : 1,
    heldMs: held || paused ? waited - 5 : 0,
    receipt:
      isOrder && !failed
        ? {
            id: `id-${number}`,
            member: String(member),
            epoch: Number(epoch),
            byMember: String(member),
            byEpoch: Number(epoch),
            replayed: false,
          }
        : null,
  };
}

export function sampleRequest(): ReportRequest {
  let state = 7;
  const chance = () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
  const requests = Array.from({ length: 30 * 300 }, (_, number) => requestAt(number, chance));
  const history: LoadHistory = {
    schema: 1,
    run: "sample",
    startedAt: began,
    stoppedAt: endedAt,
    endedAt: endedAt + 20,
    problems: [],
    requests,
  };
  const told = requests.filter(({ receipt }) => receipt !== null);
  const stored = {
    orders: told.map(({ number, kind, receipt }) => ({
      id: receipt?.id ?? "",
      key: kind === "order" ? `sample-${number}` : null,
      item: `sample-${number}`,
      epoch: receipt?.epoch ?? 0,
      member: receipt?.member ?? "",
    })),
    keys: told
      .filter(({ kind }) => kind === "order")
      .map(({ number, receipt }) => ({ key: `sample-${number}`, orderId: receipt?.id ?? "" })),
  };
  const findings = judgeRun(history, stored, [
    { name: "fault", at: faultAt, until: failbackAt - 1_000 },
    { name: "failback", at: failbackAt, until: endedAt },
  ]);
  return {
    version: "0.1.0",
    createdAt: Date.UTC(2026, 10, 21, 13, 30),
    seed: 7,
    fault: "region-loss",
    faultText: "Region west vanishes without a word",
    faultAt,
    rpoMs: 0,
    profile: "fast",
    rtoMs: 3_000,
    chronicle: {
      t1: faultAt + 520,
      t2: faultAt + 520,
      t3: faultAt + 1_530,
      t4: faultAt + 1_530,
      t5: writableAt,
      t6: writableAt + 32,
      t7: writableAt + 190,
      t8: writableAt + 420,
    },
    events: [
      { at: faultAt + 520, who: "east", what: "no renewal of lease orders-db since 520 ms: suspected" },
      { at: faultAt + 1_530, who: "east", what: "lease of epoch 3 expired; quorum of 2 of 3; claim epoch 4" },
      { at: writableAt, who: "east", what: "pg-east promoted, canary row committed, epoch 4" },
    ],
    epoch: { before: 3, after: 4 },
    rejoinedAt: faultAt + 9_400,
    failbackAt,
    regionOf: { "pg-west": "west", "pg-east": "east" },
    history,
    findings,
    machine: {
      cores: 2,
      processor: "Intel Xeon",
      memoryBytes: 24 * 2 ** 30,
      platform: "linux x64",
      node: "24.21.0",
      postgresql: "18.4",
    },
  };
}

export function sampleReport(): DrillReport {
  return composeReport(sampleRequest());
}
