/** The report: figures that follow from the findings, and a page that nothing put into it can take over. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { composeReport, type DrillReport, markNames } from "../../src/lab/report.ts";
import { duration, niceStep } from "../../src/lab/report-format.ts";
import { html } from "../../src/lab/report-html.ts";
import { renderReportPage } from "../../src/lab/report-page.ts";
import { seriesOf } from "../../src/lab/report-series.ts";
import { sampleReport, sampleRequest } from "./report-sample.ts";

const request = sampleRequest();
const report = sampleReport();

function metOf(changed: Partial<typeof request>): Record<string, boolean> {
  const { objectives, objectivesMet } = composeReport({ ...request, ...changed });
  return { all: objectivesMet, ...Object.fromEntries(objectives.map(({ id, met }) => [id, met])) };
}

test("a good drill meets its objectives, with the figures of its findings", () => {
  assert.equal(report.objectivesMet, true);
  assert.deepEqual(Object.keys(report.chronicle), markNames);
  assert.deepEqual(
    [report.chronicle.t0, report.chronicle.t5, report.writeGapMs, report.failback.startedMs],
    [0, 1_900, 1_921, 14_000],
  );
  assert.deepEqual([report.rejoin.asStandbyMs, report.failback.requestsFailed], [9_400, 0]);
  assert.deepEqual(
    report.writers.terms.map(({ member, region, epoch }) => [member, region, epoch]),
    [
      ["pg-west", "west", 3],
      ["pg-east", "east", 4],
      ["pg-west", "west", 5],
    ],
  );
  assert.deepEqual(JSON.parse(JSON.stringify(report)), report, "it survives JSON");
});

test("each objective can be missed on its own, and then the whole is", () => {
  const { findings } = request;
  const { orders, requests, writers, windows } = findings;
  const [fault, ...rest] = windows;
  assert.ok(fault);
  const spoilt: Record<string, Partial<typeof request>> = {
    recovery: { rtoMs: 2_000 },
    "write-gap": {
      findings: { ...findings, windows: [{ ...fault, resumedAfterMs: null }, ...rest] },
    },
    lost: { findings: { ...findings, orders: { ...orders, lost: 1 } } },
    doubled: { findings: { ...findings, orders: { ...orders, doubled: 1 } } },
    "safe-failed": { findings: { ...findings, requests: { ...requests, safeFailed: 1 } } },
    overlap: { findings: { ...findings, writers: { ...writers, overlapMs: 0.001 } } },
    other: { findings: { ...findings, violated: { torn: 1 } } },
    proof: { findings: { ...findings, problems: ["too little traffic"] } },
  };
  for (const [id, changed] of Object.entries(spoilt)) {
    const met = metOf(changed);
    assert.equal(met[id], false, id);
    assert.equal(met.all, false, id);
    const missed = Object.entries(met).filter(([name, yes]) => !yes && name !== "all");
    assert.deepEqual(missed, [[id, false]], `${id} alone`);
  }
});

test("asynchronous data is judged by the age of what is lost, not by its count", () => {
  const withLost = (lost: number, lostAgeMs: number) =>
    metOf({
      rpoMs: 2000,
      findings: { ...request.findings, orders: { ...request.findings.orders, lost, lostAgeMs } },
    });
  assert.deepEqual([withLost(0, 0).all, withLost(120, 2000).all], [true, true]);
  const { lost, all } = withLost(1, 2000.1);
  assert.deepEqual([lost, all], [false, false]);
});

test("what was not measured was not met", () => {
  const { t7: _, ...chronicle } = request.chronicle;
  const met = metOf({ chronicle });
  assert.deepEqual([met.recovery, met.all], [false, false]);
  const noWindows = metOf({ findings: { ...request.findings, windows: [] } });
  assert.deepEqual([noWindows["write-gap"], noWindows.all], [false, false]);
});

test("a fault that moved nobody is judged by what clients saw", () => {
  const still = { chronicle: {}, epoch: { before: 3, after: 3 } };
  assert.equal(metOf(still).recovery, true);
  assert.equal(metOf({ ...still, rtoMs: 1_900 }).recovery, false);
  assert.equal(metOf({ chronicle: {} }).recovery, false, "the epoch changed: somebody moved");
});

test("a planned failback that failed a request is told, and not part of the verdict on the fault", () => {
  const windows = request.findings.windows.map((window) =>
    window.name === "failback" ? { ...window, unsafeFailed: 2 } : window,
  );
  const changed = composeReport({ ...request, findings: { ...request.findings, windows } });
  assert.equal(changed.failback.requestsFailed, 2);
  assert.equal(changed.objectivesMet, true);
  assert.equal(changed.objectives.find(({ id }) => id === "failback-failed")?.met, false);
});

test("the series counts each request once, in the bucket in which it ended", () => {
  const series = seriesOf(request.history, request.faultAt);
  const sum = (column: readonly number[]) => column.reduce((total, n) => total + n, 0);
  assert.equal(sum(series.ok) + sum(series.failed), request.history.requests.length);
  assert.equal(sum(series.acknowledged), report.orders.acknowledged);
  const atFault = Math.floor((1_000 - series.fromMs) / series.bucketMs);
  assert.equal(series.acknowledged[atFault], 0, "no order was acknowledged a second into the fault");
  const long = seriesOf({ ...request.history, stoppedAt: request.history.startedAt + 3_600_000 }, 0);
  assert.ok(long.ok.length <= 1_201, `${long.ok.length} buckets`);
});

const hostile = `</style></title><script>alert(1)</script><img src=x onerror="alert(2)">'"&\u202e\u0000`;

function poisoned(): DrillReport {
  const [term] = report.writers.terms;
  assert.ok(term);
  return {
    ...report,
    version: hostile,
    createdAt: hostile,
    run: hostile,
    fault: hostile,
    faultText: hostile,
    profile: hostile,
    events: [{ atMs: 1, who: hostile, what: hostile }],
    violations: [{ kind: "lost", because: hostile }],
    violated: { lost: 1 },
    problems: [hostile],
    writers: { ...report.writers, terms: [{ ...term, member: hostile, region: hostile }] },
    requests: { ...report.requests, failures: { safe: { [hostile]: 1 }, unsafe: { [hostile]: 1 } } },
    machine: { ...report.machine, processor: hostile, platform: hostile, node: hostile, postgresql: hostile },
  };
}

test("hostile names are text: no element, no attribute, no script comes out of them", () => {
  const page = renderReportPage(poisoned());
  assert.doesNotMatch(page, /<script|<img|onerror="/);
  assert.ok(!page.includes("\u0000") && !page.includes("\u202e"));
  assert.equal(page.match(/<\/style>/g)?.length, 1);
  assert.equal(page.match(/<title>/g)?.length, 1);
  assert.ok(page.includes("&lt;script&gt;alert(1)&lt;/script&gt;"));
});

test("property: whatever is put in, the markup of the page stays the same", () => {
  const shape = (text: string) => {
    const spoken = html`<p class="${text}" title='${text}'>${text}</p>`.text;
    return spoken.replace(/[^<>"']/g, "");
  };
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => shape(text) === shape("")));
});

test("the page asks nobody for anything and says no to scripts", () => {
  const page = renderReportPage(report);
  assert.doesNotMatch(page, /https?:|src=|@import|url\((?!#)|<link|<script/);
  assert.match(page, /Content-Security-Policy" content="default-src 'none'/);
  for (const figure of ["Objectives met", "1.92 s", "2,996", "epoch 4"])
    assert.ok(page.includes(figure), figure);
  assert.ok(page.length < 200_000, `${page.length} characters`);
});

test("each chart has a title and a text for those who do not see it", () => {
  const page = renderReportPage(report);
  const pictures = page.match(/<svg[^>]*role="img"[^>]*>/g) ?? [];
  assert.equal(pictures.length, 4);
  for (const picture of pictures) {
    const ids = /aria-labelledby="([^"]+)"/.exec(picture)?.[1]?.split(" ") ?? [];
    assert.equal(ids.length, 2);
    for (const id of ids) assert.match(page, new RegExp(`id="${id}">[^<]+<`));
  }
});

test("a run without anything still makes a page: nothing sent, nothing reached, no machine's words", () => {
  const empty = composeReport({
    ...request,
    chronicle: {},
    events: [],
    history: { ...request.history, requests: [] },
    findings: {
      ...request.findings,
      windows: [],
      writers: { overlapMs: 0, overlapProvenMs: 0, terms: [] },
    },
  });
  const page = renderReportPage(empty);
  assert.doesNotMatch(page, /NaN|Infinity|undefined|null/);
  assert.ok(page.includes("not reached"));
});

test("durations read as people say them", () => {
  const cases: readonly [number | null, string][] = [
    [null, "not reached"],
    [0, "0 ms"],
    [0.001, "0.001 ms"],
    [0.44, "0.4 ms"],
    [9.96, "10 ms"],
    [842.3, "842 ms"],
    [999.7, "1.00 s"],
    [1_930, "1.93 s"],
    [-17, "\u221217 ms"],
    [119_600, "2 min 0 s"],
  ];
  for (const [ms, text] of cases) assert.equal(duration(ms), text);
});

test("property: axis steps are 1, 2 or 5 times a power of ten and never too many", () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.001, max: 1e9, noNaN: true }),
      fc.integer({ min: 1, max: 20 }),
      (span, parts) => {
        const step = niceStep(span, parts);
        assert.ok(span / step <= parts * 1.001, `${span} by ${step} makes more than ${parts}`);
        assert.match(step.toPrecision(1), /^[0.]*[125]/);
      },
    ),
  );
});
