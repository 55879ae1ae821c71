/** A topology text that is composed by a program compiles to what was asked for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type ComposedRegion, composeTopology } from "../../../src/core/spec/compose.ts";
import { topologyOf } from "./text.ts";

function region(name: string, index: number): ComposedRegion {
  const port = 20_000 + index * 10;
  return {
    name,
    agentPort: port,
    capacityRps: 1000,
    failureDomains: { power: `grid-${index}` },
    member: { name: `pg-${name}`, port: port + 1, gatePort: port + 2, dataDir: `data/pg-${name}` },
    servicePort: port + 3,
    edge: {
      name: `edge-${name}`,
      httpPort: port + 4,
      adminPort: port + 5,
      tcpPort: port + 6,
      stateDir: `state/edge-${name}`,
    },
  };
}

test("what is composed for the demo compiles to what was asked for", () => {
  fc.assert(
    fc.property(
      fc.constantFrom("fast", "balanced", "cautious"),
      fc.uniqueArray(fc.stringMatching(/^[a-z]([a-z0-9-]{0,8}[a-z0-9])?$/), { minLength: 1, maxLength: 5 }),
      (profile, names) => {
        const text = composeTopology({
          name: "demo",
          profile,
          store: { kind: "embedded", path: "store.db" },
          regions: names.map(region),
          rules: { holdMaxMs: 20_000 },
          journey: [{ method: "GET", path: "/orders/1", headers: {}, body: null, expectStatus: 200 }],
        });
        const topology = topologyOf(text);
        assert.equal(topology.profile.name, profile);
        assert.deepEqual(
          topology.regions.map(({ name }) => name),
          names,
        );
        const [store] = topology.dataStores;
        assert.deepEqual(
          store?.members.map(({ name }) => name),
          names.map((name) => `pg-${name}`),
        );
        assert.equal(store?.members[0]?.dataDir, `/srv/holdfast/data/pg-${names[0]}`);
        const [service] = topology.services;
        assert.deepEqual(service?.allow, names);
        assert.equal(service?.rules.holdMaxMs, 20_000);
        assert.equal(service?.rules.tryTimeoutMs, 2000);
        assert.equal(service?.journeys[0]?.steps[0]?.path, "/orders/1");
        assert.deepEqual(topology.edges[0]?.tcp, { "orders-db": { host: "127.0.0.1", port: 20_006 } });
      },
    ),
    { numRuns: 50 },
  );
});

test("a region without member, instance and edge is a witness that only has an agent", () => {
  const text = composeTopology({
    store: { kind: "embedded", path: "store.db" },
    replication: { kind: "asynchronous", rpoMs: 5000 },
    regions: [region("a", 0), region("b", 1), { name: "w", role: "witness", agentPort: 20_900 }],
    comment: "for the demo",
  });
  assert.match(text, /^# for the demo\n/);
  const topology = topologyOf(text);
  assert.equal(topology.regions[2]?.role, "witness");
  assert.deepEqual(topology.services[0]?.allow, ["a", "b"]);
  assert.equal(topology.dataStores[0]?.rpoMs, 5000);
  assert.equal(topology.edges.length, 2);
});
