/** Metrics of several processes as one: what is added up, and what never goes down. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Metrics, metricsText } from "../../src/edge/metrics.ts";
import { MetricsSum } from "../../src/edge/metrics-sum.ts";

const requests = "holdfast_edge_requests_total";

function counted(generation: number | string, count: number): Metrics {
  const metrics = new Metrics();
  metrics.counter(requests, { service: "orders", generation, status: "2xx" }).add(count);
  return metrics;
}

const lines = (sum: MetricsSum, ...living: readonly Metrics[]) =>
  metricsText(
    sum.of(
      new Metrics().read(),
      living.map((metrics) => metrics.read()),
    ),
  )
    .split("\n")
    .filter((line) => !line.startsWith("#") && line !== "");

test("counters, histograms and gauges are added up; of what each sees for itself the worst counts", () => {
  const make = (by: number): Metrics => {
    const metrics = counted(3, by);
    metrics.histogram("holdfast_edge_request_seconds").observe(by === 1 ? 0.002 : 7);
    metrics.gauge("holdfast_edge_connections", {}, () => by);
    metrics.gauge("holdfast_edge_level", { service: "orders" }, () => by);
    metrics.gauge("holdfast_edge_certificate_not_after_seconds", {}, () => by);
    return metrics;
  };
  const told = lines(new MetricsSum(), make(1), make(2));
  for (const line of [
    `${requests}{service="orders",generation="3",status="2xx"} 3`,
    "holdfast_edge_connections 3",
    'holdfast_edge_level{service="orders"} 2',
    "holdfast_edge_certificate_not_after_seconds 1",
    'holdfast_edge_request_seconds_bucket{le="0.0025"} 1',
    'holdfast_edge_request_seconds_bucket{le="5"} 1',
    'holdfast_edge_request_seconds_bucket{le="+Inf"} 2',
    "holdfast_edge_request_seconds_sum 7.002",
    "holdfast_edge_request_seconds_count 2",
  ])
    assert.ok(told.includes(line), `${line} in\n${told.join("\n")}`);
});

test("what a process that ended had counted stays, its gauges go", () => {
  const sum = new MetricsSum();
  const gone = counted(3, 5);
  gone.gauge("holdfast_edge_connections", {}, () => 9);
  sum.retire(gone.read());
  assert.deepEqual(lines(sum, counted(3, 2)), [
    `${requests}{service="orders",generation="3",status="2xx"} 7`,
  ]);
  sum.retire(counted(3, 2).read());
  assert.deepEqual(lines(sum), [`${requests}{service="orders",generation="3",status="2xx"} 7`]);
});

test("generations that the living have folded away are folded away of the dead too", () => {
  const sum = new MetricsSum();
  sum.retire(counted(3, 5).read());
  sum.retire(counted(8, 4).read());
  assert.deepEqual(lines(sum, counted(7, 2)).sort(), [
    `${requests}{service="orders",generation="7",status="2xx"} 2`,
    `${requests}{service="orders",generation="8",status="2xx"} 4`,
    `${requests}{service="orders",generation="older",status="2xx"} 5`,
  ]);
});

test("a value that looks like a label is none", () => {
  const sum = new MetricsSum();
  const odd = new Metrics();
  odd.counter(requests, { service: 'x,generation="3"', status: "2xx" }).add(1);
  sum.retire(odd.read());
  assert.deepEqual(
    lines(sum, counted(7, 2))[1],
    `${requests}{service="x,generation=\\"3\\"",status="2xx"} 1`,
  );
});
