/** A topology for tests of the agent: one data store in two regions, and a third that votes. */
import { createHash } from "node:crypto";
import type { Topology } from "../../src/core/model/topology.ts";
import { composeTopology } from "../../src/core/spec/compose.ts";
import { compileTopology } from "../../src/core/spec/spec.ts";

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

export function threeRegions(): Topology {
  const text = composeTopology({
    name: "agents",
    profile: "fast",
    store: { kind: "embedded", path: "/nowhere/store.db" },
    objectives: { availability: 0.99, rtoMs: 10_000, rpoMs: 0 },
    rules: { holdMaxMs: 5000, tryTimeoutMs: 1000 },
    demandRps: 1,
    journey: [{ method: "GET", path: "/", headers: {}, body: null, expectStatus: 200 }],
    comment: "",
    regions: ["west", "central", "north"].map((name, index) => ({
      name,
      jurisdiction: "eu",
      role: index === 2 ? "witness" : "active",
      failureDomains: {},
      capacityRps: 10,
      agentPort: 1000 + index,
      ...(index === 2
        ? {}
        : {
            member: {
              name: `pg-${name}`,
              port: 1100 + index,
              gatePort: 1200 + index,
              dataDir: `/nowhere/${name}`,
            },
            servicePort: 1300 + index,
          }),
      edge: {
        name: `edge-${name}`,
        httpPort: 1400 + index,
        adminPort: 1500 + index,
        tcpPort: 1600 + index,
        stateDir: `/nowhere/edge-${name}`,
      },
    })),
  });
  const compiled = compileTopology({ text, file: "test", baseDir: "/" }, sha256);
  if (compiled.kind === "valid") return compiled.topology;
  throw new Error(compiled.problems.map(({ message }) => message).join("\n"));
}
