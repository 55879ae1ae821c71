/** What agents make of any topology is a table that edges take: one service that misfits would refuse it for all. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compileTable } from "../../src/core/traffic/compile.ts";
import { sha256 } from "../../src/edge/signature.ts";
import { misfitOfService } from "../../src/edge/table-shape.ts";
import { topologyArb } from "../core/spec/arbitrary.ts";

test("the table of any topology has the shape that edges ask for", () => {
  let withRules = 0;
  fc.assert(
    fc.property(topologyArb, (some) => {
      const topology = { ...some, digest: "t" };
      const facts = { stores: {}, regions: {}, health: {}, modes: {} };
      const table = compileTable({
        topology,
        facts,
        previous: null,
        issuedAt: 0,
        issuedBy: "a",
        digest: sha256,
      });
      const services = JSON.parse(JSON.stringify(table.services)) as Record<string, { traffic?: unknown }>;
      for (const service of topology.services) {
        const route = services[service.name];
        assert.equal(misfitOfService(service.name, route), "");
        // Absent and not empty where nothing is asked for: a table costs what it says.
        assert.deepEqual(route?.traffic, service.traffic);
        assert.equal(Object.hasOwn(route ?? {}, "traffic"), service.traffic !== undefined);
        if (service.traffic) withRules++;
      }
    }),
  );
  assert.ok(withRules > 0, "no topology had any rules: this proves nothing");
});
