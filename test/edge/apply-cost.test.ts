/** What a table costs an edge: work is counted, not timed, since what did not change must cost nothing however fast it is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RoutingTable, ServiceRoute } from "../../src/core/model/routing.ts";
import { canonicalJson } from "../../src/core/traffic/canonical.ts";
import { Metrics } from "../../src/edge/metrics.ts";
import { ServicePlans } from "../../src/edge/service-plan.ts";
import { type ReadTable, TableReader } from "../../src/edge/table-reader.ts";
import { service, signed, table, target } from "./parts/tables.ts";

const count = 1000;
const regions = { west: "active", central: "active", east: "standby" } as const;

function thousand(changed: Readonly<Record<string, Partial<ServiceRoute>>> = {}): RoutingTable["services"] {
  const entries = Array.from({ length: count }, (_, n) => {
    const name = `service-${n}`;
    const targets = [target("west", 10_000 + n), target("central", 20_000 + n)];
    return [name, service(targets, changed[name])] as const;
  });
  return Object.fromEntries(entries);
}

async function read(reader: TableReader, next: RoutingTable): Promise<ReadTable> {
  const outcome = await reader.read(JSON.stringify(signed(next)));
  assert.ok(outcome.kind === "fits", "it does not fit");
  reader.adopt(outcome);
  return outcome;
}

test("of a thousand services one that changed is the one that is looked at, and arranged", async () => {
  const reader = new TableReader();
  const plans = new ServicePlans("west", new Metrics(), 1000);
  const arrangements = () => {
    let sum = 0;
    for (const plan of plans.all) {
      assert.ok(plan.lane.ordered.length > 0);
      sum += plan.lane.arranged;
    }
    return sum;
  };
  try {
    const first = await read(reader, table(1, { services: thousand() }));
    assert.equal(first.changed.length, count);
    plans.follow(first.signed.table);
    assert.equal(arrangements(), count);

    const one = { "service-7": { mode: "ro" as const } };
    const second = await read(reader, table(2, { services: thousand(one) }));
    assert.deepEqual(second.changed, ["service-7"]);
    plans.follow(second.signed.table);
    assert.equal(arrangements(), count + 1);
    assert.equal(plans.find("service-7.example", "/")?.route.mode, "ro");
    assert.equal(plans.find("service-7.example", "/")?.table.generation, 2);

    // A region that drains concerns all of them, and none is read anew; each is arranged when it is asked for.
    const drained = { ...regions, west: "drained" } as const;
    const third = await read(reader, table(3, { services: thousand(one), regions: drained }));
    assert.deepEqual(third.changed, []);
    plans.follow(third.signed.table);
    assert.equal(plans.find("service-9.example", "/")?.lane.choose([], null)?.region, "central");
    let now = 0;
    for (const plan of plans.all) now += plan.lane.arranged;
    assert.equal(now, count + 2, "only the one that was asked for");
  } finally {
    plans.close();
  }
});

test("upstreams live while any service stands on them, and no longer", async () => {
  const plans = new ServicePlans("west", new Metrics(), 1000);
  const urls = () => [...plans.upstreams].map(({ url }) => url).sort();
  const both = { a: service([target("west", 1)]), b: service([target("west", 1), target("central", 2)]) };
  try {
    plans.follow(table(1, { services: both }));
    const [shared] = plans.upstreams;
    assert.deepEqual(urls(), ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    plans.follow(table(2, { services: { ...both, a: service([target("central", 2)]) } }));
    assert.deepEqual(urls(), ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    assert.equal([...plans.upstreams][0], shared, "what is under way there is counted on");
    plans.follow(table(3, { services: { a: service([target("central", 2)]) } }));
    assert.deepEqual(urls(), ["http://127.0.0.1:2"]);
  } finally {
    plans.close();
  }
});

test("what is read in pieces is what the whole is: the texts that are signed and digested", async () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom("__proto__", "constructor", "digest", "10", "2", "é", "\u{1f600}"),
  );
  const routeArb = fc.record({
    staleMaxMs: fc.nat(),
    mode: fc.constantFrom("rw", "ro", "off"),
    stores: fc.array(fc.string(), { maxLength: 3 }),
    extra: fc.jsonValue({ maxDepth: 2 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.dictionary(word, routeArb, { maxKeys: 6 }), { minLength: 1, maxLength: 4 }),
      fc.dictionary(word, fc.jsonValue({ maxDepth: 1 }), { maxKeys: 2 }),
      async (tables, more) => {
        const reader = new TableReader();
        for (const [at, routes] of tables.entries()) {
          const services = Object.fromEntries(
            Object.entries(routes).map(([name, { staleMaxMs, mode, stores, extra }]) => {
              const base = service([target("west", 1)], { mode: mode as "rw", dataStores: stores });
              return [name, { ...base, rules: { ...base.rules, staleMaxMs }, extra }];
            }),
          );
          const whole = { ...more, ...table(at + 1, { services }) };
          const sent = JSON.stringify({ table: whole, keyId: "k", signature: "s" });
          const outcome = await reader.read(sent);
          assert.ok(outcome.kind === "fits", outcome.kind === "misfit" ? outcome.because : "");
          const expected = (JSON.parse(sent) as { table: RoutingTable }).table;
          assert.deepEqual(outcome.signed.table, expected);
          assert.equal(outcome.canonical, canonicalJson(expected));
          assert.equal(outcome.undigested, canonicalJson({ ...expected, digest: undefined }));
          reader.adopt(outcome);
        }
      },
    ),
    { numRuns: 100, endOnFailure: true },
  );
});

test("a service that is no route is told by its name, also among a thousand that are", async () => {
  const services = { ...thousand(), "service-500": { mode: "rw" } as unknown as ServiceRoute };
  const outcome = await new TableReader().read(JSON.stringify(signed(table(1, { services }))));
  assert.equal(outcome.kind, "misfit");
  assert.match(outcome.kind === "misfit" ? outcome.because : "", /table\.services\.service-500\./);
});
