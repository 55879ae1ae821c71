/** A bounded hunt for every change; the long ones are run by `npm run sim`. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { faultKinds } from "../../src/sim/fault.ts";
import { hunt } from "../../src/sim/hunt.ts";
import type { Plan } from "../../src/sim/plan.ts";
import { run } from "../../src/sim/run.ts";
import { scanPlan, scanSize } from "../../src/sim/scan.ts";
import { sometimes } from "../../src/sim/sometimes.ts";
import { planFor } from "../../src/sim/swarm.ts";

test("1500 seeds break no invariant, and reach what they must reach", (context) => {
  const report = hunt(
    (index) => planFor(1 + index),
    (runs) => runs < 1500,
  );
  const broken = report.failures.map(
    ({ seed, violation }) => `seed ${seed}: ${violation?.invariant}: ${violation?.text}`,
  );
  assert.deepEqual(broken, []);
  const { reached, declared, missing } = report.coverage.summary();
  context.diagnostic(
    `${reached} of ${declared} states and transitions; not reached: ${missing.join(", ") || "none"}`,
  );
  assert.ok(reached / declared >= 0.95, `${reached} of ${declared}: ${missing.join(", ")}`);
  const never = Object.keys(faultKinds).filter((kind) => !report.inflicted.has(kind));
  assert.deepEqual(never, [], "faults that were never inflicted");
  const hit = sometimes.filter((name) => report.sometimes.has(name)).length;
  assert.ok(hit / sometimes.length >= 0.9, `${hit} of ${sometimes.length} of what must happen sometimes`);
  assert.ok(report.acknowledged > 100_000, "too little traffic proves nothing");
});

test("every tenth pair of faults around a failover breaks no invariant", () => {
  const report = hunt(
    (index) => scanPlan(index * 10),
    (runs) => runs * 10 < scanSize,
  );
  assert.deepEqual(
    report.failures.map(({ seed, violation }) => `pair ${seed}: ${violation?.invariant}: ${violation?.text}`),
    [],
  );
});

const kept = new URL("seeds/", import.meta.url);
for (const file of readdirSync(kept).filter((name) => name.endsWith(".json"))) {
  test(`kept: ${file}`, () => {
    const { plan } = JSON.parse(readFileSync(new URL(file, kept), "utf8")) as { readonly plan: Plan };
    const { violation } = run(plan);
    assert.equal(violation, null);
  });
}
