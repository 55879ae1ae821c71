/** A big table is read in a thread: the same comes out, what did not change keeps its object, and its end harms nobody. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RoutingTable, ServiceRoute } from "../../src/core/model/routing.ts";
import { digestOf } from "../../src/core/traffic/accept.ts";
import { sha256 } from "../../src/edge/signature.ts";
import { type Reading, TableReading } from "../../src/edge/table-reading.ts";
import { keys, service, signed, table, target } from "./parts/tables.ts";

const names = [
  "__proto__",
  "constructor",
  "10",
  "2",
  ...Array.from({ length: 300 }, (_, n) => `service-${n}`),
];

function thousand(change: Readonly<Record<string, Partial<ServiceRoute>>> = {}): RoutingTable["services"] {
  return Object.fromEntries(
    names.map((name) => [name, service([target("west", 1), target("central", 2)], change[name])]),
  );
}

async function read(reading: TableReading, text: string): Promise<Reading> {
  const outcome = await reading.read(Buffer.from(text));
  assert.ok(outcome.kind === "fits", outcome.kind === "misfit" ? outcome.because : "");
  return outcome;
}

/** Nor do fields of a service that changed, where they did not. */
function assertKeepsFields(route: ServiceRoute, before: ServiceRoute | undefined): void {
  for (const [key, field] of Object.entries(before ?? {}))
    if (JSON.stringify(field) === JSON.stringify(route[key as keyof ServiceRoute]))
      assert.equal(route[key as keyof ServiceRoute], field, key);
}

/** It has gone by a big table, and its thread is there. */
async function withThread(): Promise<TableReading> {
  const reading = new TableReading(keys);
  (
    await read(reading, JSON.stringify(signed(table(1, { services: thousand({ "10": { mode: "off" } }) }))))
  ).adopt();
  while (!reading.hasThread) await new Promise((resolve) => setTimeout(resolve, 5));
  return reading;
}

test("what a thread reads is what is read here, whatever was taken before", { timeout: 60_000 }, async () => {
  const there = await withThread();
  const here = new TableReading(keys);
  let before: RoutingTable["services"] = {};
  let generation = 1;
  await fc.assert(
    fc.asyncProperty(
      fc.subarray(names, { maxLength: 5 }),
      fc.constantFrom<Partial<ServiceRoute>>(
        { mode: "rw" },
        { mode: "ro" },
        { mode: "off", level: 1 },
        { targets: [target("west", 1)] },
        { traffic: { deadlineMs: 5 } },
      ),
      fc.boolean(),
      async (changed, change, isTaken) => {
        generation++;
        const services = thousand(Object.fromEntries(changed.map((name) => [name, change])));
        const text = JSON.stringify(signed(table(generation, { services })));
        const [one, other] = [await read(there, text), await here.readHere(Buffer.from(text))];
        assert.ok(other.kind === "fits");
        assert.deepEqual(one.signed, other.signed);
        assert.deepEqual([one.invalid, one.digest], [other.invalid, other.digest]);
        assert.equal(one.digest, digestOf(one.signed.table, sha256));
        const now = one.signed.table.services;
        for (const name of names)
          if (JSON.stringify(before[name]) === JSON.stringify(now[name]))
            assert.equal(now[name], before[name]);
          else assertKeepsFields(now[name] as ServiceRoute, before[name]);
        if (!isTaken) return;
        one.adopt();
        before = now;
      },
    ),
    { numRuns: 40, endOnFailure: true },
  );
  await there.close();
});

test("a small table in between, a forged and a broken one leave the next as it is", {
  timeout: 60_000,
}, async () => {
  const reading = await withThread();
  const first = await read(reading, JSON.stringify(signed(table(1, { services: thousand() }))));
  first.adopt();
  assert.ok(reading.hasThread);
  const small = await read(
    reading,
    JSON.stringify(signed(table(2, { services: { a: service([target("west", 1)]) } }))),
  );
  small.adopt();
  const big = signed(table(3, { services: thousand({ "service-7": { mode: "ro" } }) }));
  const forged = await read(reading, JSON.stringify({ ...big, table: { ...big.table, generation: 9 } }));
  assert.match(forged.invalid, /does not fit the table/);
  const broken = thousand({ "service-8": { mode: "sideways" as "rw" } });
  const misfit = await reading.read(Buffer.from(JSON.stringify(signed(table(4, { services: broken })))));
  assert.equal(misfit.kind, "misfit");
  assert.match(misfit.kind === "misfit" ? misfit.because : "", /service-8\.mode/);
  const next = await read(reading, JSON.stringify(big));
  assert.equal(next.invalid, "");
  assert.deepEqual(next.signed.table, JSON.parse(JSON.stringify(big.table)));
  assert.equal(next.signed.table.services["service-9"], first.signed.table.services["service-9"]);
  await reading.close();
});

test("a thread that ends in the middle leaves nobody waiting", { timeout: 60_000 }, async () => {
  const reading = await withThread();
  const text = JSON.stringify(signed(table(5, { services: thousand() })));
  const pending = read(reading, text);
  await reading.close();
  assert.equal((await pending).invalid, "");
  assert.equal(reading.hasThread, false);
  (await read(reading, text)).adopt();
  while (!reading.hasThread) await new Promise((resolve) => setTimeout(resolve, 5));
  await reading.close();
});
