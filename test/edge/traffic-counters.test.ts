/** What is counted of requests: complete, and bounded whatever is asked. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Metrics } from "../../src/edge/metrics.ts";
import { TrafficCounters } from "../../src/edge/traffic-counters.ts";

const seriesOf = (metrics: Metrics, name: string): readonly (readonly [labels: string, value: number])[] =>
  [...metrics.text().matchAll(new RegExp(`^${name}\\{(.*)\\} (\\S+)$`, "gm"))].map(([, labels, value]) => [
    labels as string,
    Number(value),
  ]);
const sumOf = (series: readonly (readonly [string, number])[]) =>
  series.reduce((sum, [, value]) => sum + value, 0);

test("C1: nothing that was counted is lost when generations pass, and only the newest are told apart", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ newer: fc.nat(3), status: fc.constantFrom(200, 404, 500, 503) }), {
        maxLength: 60,
      }),
      (asked) => {
        const metrics = new Metrics();
        const counters = new TrafficCounters(metrics);
        let generation = 1;
        for (const { newer, status } of asked) {
          generation += newer;
          const about = { service: "shop", region: "west", class: "other", generation };
          counters.answered(about, {
            status,
            code: status === 503 ? "HOLDFAST_SHED" : "",
            seconds: 0.01,
            isLate: false,
          });
        }
        const requests = seriesOf(metrics, "holdfast_edge_requests_total");
        const errors = seriesOf(metrics, "holdfast_edge_errors_total");
        assert.equal(sumOf(requests), asked.length);
        assert.equal(sumOf(errors), asked.filter(({ status }) => 500 <= status).length);
        const generations = new Set(requests.map(([labels]) => /generation="(\w+)"/.exec(labels)?.[1]));
        assert.ok(generations.size <= 3, [...generations].join());
        if (asked.length > 0) assert.ok(generations.has(String(generation)));
      },
    ),
  );
});

test("C2: there is an end to the series, and nothing goes uncounted beyond it", () => {
  const metrics = new Metrics();
  const counters = new TrafficCounters(metrics);
  for (let index = 0; index < 6000; index++)
    counters.answered(
      { service: "shop", region: "west", class: `class-${index}`, generation: 1 },
      { status: 200, code: "", seconds: 0.01, isLate: false },
    );
  const series = seriesOf(metrics, "holdfast_edge_requests_total");
  assert.equal(sumOf(series), 6000);
  assert.equal(series.length, 5001 * 5);
  assert.equal(
    metrics.valueOf("holdfast_edge_requests_total", {
      service: "shop",
      region: "west",
      class: "beyond",
      generation: 1,
      status: "2xx",
    }),
    1000,
  );
});

test("a status that no standard knows makes no series of its own", () => {
  const metrics = new Metrics();
  const counters = new TrafficCounters(metrics);
  for (let status = 500; status < 600; status++)
    counters.answered(
      { service: "shop", region: "west", class: "other", generation: 1 },
      { status, code: "", seconds: 0.01, isLate: false },
    );
  assert.equal(seriesOf(metrics, "holdfast_edge_errors_total").length, 6);
});
