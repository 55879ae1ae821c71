/** The control store as events: the order of records, what is gone, what is poisoned, and when all has been told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeRecord } from "../../src/agent/decode.ts";
import { watchStore } from "../../src/agent/watching.ts";
import type { AgentEventBody } from "../../src/core/machine/event.ts";
import type { Store, StoredRecord, WatchEvent } from "../../src/ports/store.ts";

const request = (id: string): string =>
  JSON.stringify({
    schema: 1,
    id,
    kind: "switchover",
    dataStore: "db",
    toRegion: null,
    ifEpoch: 0,
    by: "somebody",
    why: "",
    at: 1,
    status: "pending",
    detail: "",
  });
const lease = JSON.stringify({
  schema: 1,
  epoch: 1,
  phase: "vacant",
  holder: "pg-west",
  renewal: 0,
  stamp: "",
  basis: 0,
  primary: null,
  durable: { acknowledgements: 0, standbys: [], position: 0, final: false },
  handover: null,
  because: "",
});
const record = (key: string, value: string, revision: number): StoredRecord => ({ key, value, revision });

async function told(events: readonly WatchEvent[]) {
  const bodies: AgentEventBody[] = [];
  const log: string[] = [];
  const store = {
    async *watch() {
      yield* events;
    },
  } as unknown as Store;
  await watchStore(
    store,
    (body) => bodies.push(body),
    (level, text) => log.push(`${level}: ${text}`),
    new AbortController().signal,
  );
  const lines = bodies.map((body) =>
    body.kind === "record-changed" ? `${body.key}@${body.revision}${body.record ? "" : " gone"}` : body.kind,
  );
  return { lines, log };
}

test("of a snapshot the leases are told last, and then that all has been told", async () => {
  const { lines } = await told([
    {
      kind: "snapshot",
      records: [record("lease/db", lease, 3), record("request/a", request("a"), 2)],
      revision: 3,
    },
  ]);
  assert.deepEqual(lines, ["request/a@2", "lease/db@3", "store-loaded"]);
});

test("what a later snapshot does not hold is told as gone", async () => {
  const { lines } = await told([
    { kind: "snapshot", records: [record("request/a", request("a"), 2)], revision: 2 },
    { kind: "lost", because: "away" },
    { kind: "snapshot", records: [record("request/b", request("b"), 5)], revision: 6 },
  ]);
  assert.deepEqual(lines, ["request/a@2", "store-loaded", "request/a@6 gone", "request/b@5"]);
});

test("a poisoned record is told to nobody but the log, and what was known stays known", async () => {
  const { lines, log } = await told([
    { kind: "snapshot", records: [record("lease/db", lease, 1)], revision: 1 },
    {
      kind: "changes",
      changes: [{ kind: "put", record: record("lease/db", '{"schema":1,"epoch":null}', 2) }],
      revision: 2,
    },
    { kind: "progress", revision: 2 },
  ]);
  assert.deepEqual(lines, ["lease/db@1", "store-loaded", "store-heard"]);
  assert.match(
    log.join("\n"),
    /alarm: a record was refused and changes nothing: lease\/db does not fit: epoch/,
  );
});

test("a store that falls silent and answers again is said once each", async () => {
  const { log } = await told([
    { kind: "lost", because: "one" },
    { kind: "lost", because: "two" },
    { kind: "progress", revision: 1 },
    { kind: "progress", revision: 1 },
  ]);
  assert.deepEqual(log, [
    "warning: the control store does not answer: one",
    "info: the control store answers again",
  ]);
});

test("a record is decoded, foreign, or poisoned, and never an exception", () => {
  assert.equal(decodeRecord("request/a", request("a")).kind, "decoded");
  assert.equal(decodeRecord("lease/db", lease).kind, "decoded");
  assert.equal(decodeRecord("future/a", "{}").kind, "foreign");
  for (const text of [
    "",
    "null",
    "[]",
    "{",
    '"text"',
    '{"schema":2}',
    lease.replace('"epoch":1', '"epoch":0'),
  ])
    assert.equal(decodeRecord("lease/db", text).kind, "poisoned", text);
});
