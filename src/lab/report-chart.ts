/** The charts of a report as inline SVG: one time axis for all, and nothing that only colour tells. */
import type { DrillReport, Mark, ReportTerm } from "./report.ts";
import { count, duration, niceStep, second } from "./report-format.ts";
import { html, type Markup } from "./report-html.ts";

const width = 1_000;
const left = 62;
const right = 14;
const top = 24;
const axisHeight = 24;

interface Frame {
  readonly height: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly x: (ms: number) => number;
}

function frameOf({ series }: DrillReport, plotHeight: number): Frame {
  const { fromMs, bucketMs, ok } = series;
  const toMs = fromMs + Math.max(1, ok.length) * bucketMs;
  return {
    height: top + plotHeight + axisHeight,
    fromMs,
    toMs,
    x: (ms) => left + ((ms - fromMs) / (toMs - fromMs)) * (width - left - right),
  };
}

/** Until when the fault is shaded: until service was validated, else until writes resumed, else to the end. */
export function faultEndMs({ chronicle, objectives }: DrillReport): number | null {
  const resumed = objectives.find(({ id }) => id === "write-gap")?.measured ?? null;
  return chronicle.t7 ?? chronicle.t5 ?? resumed;
}

function picture(name: string, title: string, text: string, frame: Frame, body: readonly Markup[]): Markup {
  return html`<svg viewBox="0 0 ${width} ${frame.height}" role="img" aria-labelledby="${name}-title ${name}-text">
<title id="${name}-title">${title}</title><desc id="${name}-text">${text}</desc>
${[...body]}</svg>`;
}

function timeAxis(frame: Frame): Markup {
  const bottom = frame.height - axisHeight;
  const step = niceStep(frame.toMs - frame.fromMs, 12);
  const ticks: number[] = [];
  for (let at = Math.ceil(frame.fromMs / step) * step; at <= frame.toMs; at += step) ticks.push(at);
  return html`<line class="axis" x1="${left}" x2="${width - right}" y1="${bottom}" y2="${bottom}"/>
${ticks.map(
  (at) =>
    html`<line class="axis" x1="${px(frame.x(at))}" x2="${px(frame.x(at))}" y1="${bottom}" y2="${bottom + 4}"/><text class="tick" text-anchor="middle" x="${px(frame.x(at))}" y="${bottom + 17}">${second(at)}</text>`,
)}`;
}

/** The fault as a hatched band, and the moments that a reader looks for as lines with their names. */
function backdrop(report: DrillReport, frame: Frame, all: readonly Moment[] = momentsOf(report)): Markup {
  const bottom = frame.height - axisHeight;
  const end = Math.min(faultEndMs(report) ?? frame.toMs, frame.toMs);
  const moments = all.filter(({ ms }) => frame.fromMs <= ms && ms <= frame.toMs);
  let freeFrom = 0;
  return html`<rect class="fault" x="${px(frame.x(0))}" y="${top}" width="${px(Math.max(1, frame.x(end) - frame.x(0)))}" height="${bottom - top}"/>
${moments.map(({ ms, name }) => {
  const x = frame.x(ms);
  // 6.2: width of a letter at this size. A name that would run into the one before is left to the table.
  const shown = name !== "" && x >= freeFrom;
  const before = x + 6.2 * name.length > width - right;
  if (shown) freeFrom = before ? width : x + 6.2 * name.length + 10;
  return html`<line class="moment" x1="${px(x)}" x2="${px(x)}" y1="${top - 6}" y2="${bottom}"/>${shown && html`<text class="moment-name" text-anchor="${before ? "end" : "start"}" x="${px(before ? x - 4 : x + 4)}" y="${top - 10}">${name}</text>`}`;
})}`;
}

interface Moment {
  readonly ms: number;
  readonly name: string;
}

function momentsOf(report: DrillReport): readonly Moment[] {
  const { chronicle, rejoin, failback } = report;
  const moments = [
    { ms: 0, name: "fault" },
    { ms: chronicle.t5, name: `writable ${duration(chronicle.t5)}` },
    { ms: rejoin.asStandbyMs, name: "rejoined as standby" },
    { ms: failback.startedMs, name: "failback" },
  ];
  return moments.flatMap(({ ms, name }) => (ms === null ? [] : [{ ms, name }])).sort((a, b) => a.ms - b.ms);
}

/** Buckets put together until they are few enough to be seen. */
function grouped(report: DrillReport): {
  readonly size: number;
  readonly groups: readonly (readonly number[])[];
} {
  const n = report.series.ok.length;
  const size = Math.max(1, Math.ceil(n / 320));
  const groups = Array.from({ length: Math.ceil(n / size) }, (_, g) =>
    Array.from({ length: Math.min(size, n - g * size) }, (_, i) => g * size + i),
  );
  return { size, groups };
}

export function throughputChart(
  report: DrillReport,
  name = "throughput",
  moments: readonly Moment[] = momentsOf(report),
): Markup {
  const { series } = report;
  const frame = frameOf(report, 170);
  const bottom = frame.height - axisHeight;
  const { size, groups } = grouped(report);
  const rate = (column: readonly number[]) =>
    groups.map((group) => (sum(group.map((i) => column[i] ?? 0)) * 1000) / (group.length * series.bucketMs));
  const ok = rate(series.ok);
  const failed = rate(series.failed);
  const orders = rate(series.acknowledged);
  const totals = ok.map((value, i) => value + (failed[i] ?? 0));
  const peak = Math.max(1, ...totals);
  const usual = [...totals].sort((a, b) => a - b)[Math.floor(totals.length / 2)] ?? 0;
  // Held requests all end at once when the writer is back: that peak would flatten everything else, so it is cut off.
  const limit = peak > 2.5 * usual && usual > 0 ? 1.9 * usual : peak;
  const step = niceStep(limit, 4);
  const yMax = Math.ceil(limit / step) * step;
  const y = (value: number) => bottom - (Math.min(value, yMax) / yMax) * (bottom - top);
  const at = (i: number) => frame.x(series.fromMs + i * size * series.bucketMs);
  const steps = (values: readonly number[]) =>
    values.map((value, i) => `L${px(at(i))} ${px(y(value))}H${px(at(i + 1))}`).join("");
  // The first that is cut off, and the end of those that follow on it: the note stands beside them.
  const cutFrom = totals.findIndex((value) => value > yMax);
  const cutTo = cutFrom < 0 ? -1 : totals.findIndex((value, i) => i > cutFrom && value <= yMax);
  const grid = Array.from({ length: Math.round(yMax / step) + 1 }, (_, i) => i * step);
  const failures = sum(series.failed);
  return picture(
    name,
    name === "throughput" ? "Requests per second over time" : "Requests per second around the fault",
    `Some ${count(usual)} requests a second end as a rule. ${count(failures)} of ${count(sum(series.ok) + failures)} failed. Highest rate: ${count(peak)} a second. Longest time without an acknowledged order: ${duration(report.writeGapMs)}.`,
    frame,
    [
      backdrop(report, frame, moments),
      ...grid.map((value) => gridLine(y(value), count(value))),
      html`<path class="ok" d="M${px(at(0))} ${bottom}${steps(ok)}V${bottom}Z"/>`,
      ...failed.map(
        (value, i) =>
          html`${value > 0 && html`<rect class="failed" x="${px(at(i))}" y="${px(y(totals[i] ?? 0))}" width="${px(at(i + 1) - at(i))}" height="${px(Math.max(1.5, y(ok[i] ?? 0) - y(totals[i] ?? 0)))}"/>`}`,
      ),
      html`<path class="orders" d="M${px(at(0))} ${px(y(orders[0] ?? 0))}${steps(orders)}"/>`,
      html`${cutFrom >= 0 && cutMark(at(cutFrom), at(cutTo < 0 ? totals.length : cutTo), `${count(peak)}/s: held requests released`)}`,
      timeAxis(frame),
    ],
  );
}

function cutMark(from: number, to: number, note: string): Markup {
  const middle = (from + to) / 2;
  const before = to + 6.4 * note.length > width - right;
  return html`<path class="cut" d="M${px(middle - 4)} ${top + 6}L${px(middle)} ${top - 1}L${px(middle + 4)} ${top + 6}Z"/><text class="note" text-anchor="${before ? "end" : "start"}" x="${px(before ? from - 6 : to + 6)}" y="${top + 11}">${note}</text>`;
}

export function latencyChart(report: DrillReport): Markup {
  const { series } = report;
  const frame = frameOf(report, 150);
  const bottom = frame.height - axisHeight;
  const { size, groups } = grouped(report);
  const worst = (column: readonly (number | null)[]) =>
    groups.map((group) => {
      const values = group.flatMap((i) => column[i] ?? []);
      return values.length === 0 ? null : Math.max(...values);
    });
  const half = worst(series.p50Ms);
  const longest = worst(series.maxMs);
  const highest = Math.max(10, ...longest.map((value) => value ?? 0));
  const decades = Math.ceil(Math.log10(highest));
  const y = (ms: number) => bottom - (Math.log10(Math.max(1, ms)) / decades) * (bottom - top);
  const at = (i: number) => frame.x(series.fromMs + (i + 0.5) * size * series.bucketMs);
  const path = (values: readonly (number | null)[]) => {
    let pen = false;
    return values
      .map((value, i) => {
        if (value === null) {
          pen = false;
          return "";
        }
        const move = pen ? "L" : "M";
        pen = true;
        // A point with no neighbour would not be seen: a short stroke.
        return `${move}${px(at(i))} ${px(y(value))}${move === "M" ? "h0.1" : ""}`;
      })
      .join("");
  };
  return picture(
    "latency",
    "How long requests waited, over time",
    `Longest wait of a request that succeeded: ${duration(report.requests.longestWaitMs)}. Logarithmic scale.`,
    frame,
    [
      backdrop(report, frame),
      ...Array.from({ length: decades + 1 }, (_, i) =>
        gridLine(y(10 ** i), duration(10 ** i).replace(".00", "")),
      ),
      html`<path class="max" d="${path(longest)}"/>`,
      html`<path class="p50" d="${path(half)}"/>`,
      timeAxis(frame),
    ],
  );
}

const laneHeight = 34;

/** A lane for each member, a bar for each of its terms: bars below one another must never stand over the same time. */
export function writersChart(report: DrillReport): Markup {
  const lanes = [...Map.groupBy(report.writers.terms, ({ member }) => member)];
  const frame = frameOf(report, Math.max(1, lanes.length) * laneHeight + 4);
  const bar = (term: ReportTerm, lane: number) => {
    const x = frame.x(term.firstAckMs);
    const wide = Math.max(3, frame.x(term.lastAckMs) - x);
    const y = top + 6 + lane * laneHeight;
    const name = `epoch ${term.epoch} \u00b7 ${count(term.acknowledged)} orders`;
    const inside = wide > 6.4 * name.length + 12;
    const before = x + wide + 6.4 * name.length + 12 > width - right;
    const textX = inside ? x + 9 : before ? x - 6 : x + wide + 6;
    return html`<rect class="term lane-${lane % 4}" x="${px(x)}" y="${y}" width="${px(wide)}" height="${laneHeight - 10}" rx="3"/><text class="${inside ? "term-name" : "note"}" text-anchor="${!inside && before ? "end" : "start"}" x="${px(textX)}" y="${y + 16}">${name}</text>`;
  };
  return picture(
    "writers",
    "Who acknowledged orders, in which epoch",
    report.writers.terms
      .map(
        ({ member, epoch, firstAckMs, lastAckMs, acknowledged }) =>
          `${member} in epoch ${epoch}: ${count(acknowledged)} orders from ${second(round1(firstAckMs))} to ${second(round1(lastAckMs))}.`,
      )
      .join(" "),
    frame,
    [
      backdrop(report, frame),
      ...lanes.flatMap(([member, terms], lane) => [
        html`<text class="tick" text-anchor="end" x="${left - 8}" y="${top + 22 + lane * laneHeight}">${shortened(member)}</text>`,
        ...terms.map((term) => bar(term, lane)),
      ]),
      ...overlapsOf(report.writers.terms).map(
        ({ fromMs, toMs }) =>
          html`<rect class="failed" x="${px(frame.x(fromMs))}" y="${top}" width="${px(Math.max(2, frame.x(toMs) - frame.x(fromMs)))}" height="${frame.height - axisHeight - top}"/>`,
      ),
      timeAxis(frame),
    ],
  );
}

function overlapsOf(
  terms: readonly ReportTerm[],
): readonly { readonly fromMs: number; readonly toMs: number }[] {
  return terms.flatMap((earlier, i) =>
    terms
      .slice(i + 1)
      .filter((later) => later.firstAckMs <= earlier.lastAckMs)
      .map((later) => ({ fromMs: later.firstAckMs, toMs: earlier.lastAckMs })),
  );
}

/** From just before the fault to just after the last mark, with all marks: the story of the outage to scale. */
export function closeUpChart(report: DrillReport): Markup {
  const { series, chronicle } = report;
  const reached = (Object.entries(chronicle) as [Mark, number | null][]).flatMap(([mark, ms]) =>
    ms === null ? [] : [{ mark, ms }],
  );
  const span = Math.max(500, faultEndMs(report) ?? 0, ...reached.map(({ ms }) => ms));
  const indexAt = (ms: number) => Math.max(0, Math.floor((ms - series.fromMs) / series.bucketMs));
  const first = indexAt(-0.25 * span);
  const slice = <T>(column: readonly T[]) => column.slice(first, indexAt(1.35 * span) + 1);
  const near: DrillReport = {
    ...report,
    series: {
      fromMs: series.fromMs + first * series.bucketMs,
      bucketMs: series.bucketMs,
      ok: slice(series.ok),
      failed: slice(series.failed),
      acknowledged: slice(series.acknowledged),
      p50Ms: slice(series.p50Ms),
      p99Ms: slice(series.p99Ms),
      maxMs: slice(series.maxMs),
    },
  };
  // Marks of nearly the same moment share a name: each alone would hide the next.
  const together: { ms: number; last: number; marks: Mark[] }[] = [];
  for (const { mark, ms } of reached) {
    const group = together.at(-1);
    if (group !== undefined && ms - group.last < 0.035 * span) {
      group.marks.push(mark);
      group.last = ms;
    } else together.push({ ms, last: ms, marks: [mark] });
  }
  const moments = reached.map(({ mark, ms }) => {
    const marks = together.find((group) => group.marks[0] === mark)?.marks;
    if (marks === undefined) return { ms, name: "" };
    return { ms, name: marks.length === 1 ? mark : `${mark}\u2013${marks.at(-1)?.slice(1)}` };
  });
  return throughputChart(near, "closeup", moments);
}

function gridLine(y: number, name: string): Markup {
  return html`<line class="grid" x1="${left}" x2="${width - right}" y1="${px(y)}" y2="${px(y)}"/><text class="tick" text-anchor="end" x="${left - 8}" y="${px(y + 4)}">${name}</text>`;
}

function shortened(name: string): string {
  return name.length <= 9 ? name : `${name.slice(0, 8)}\u2026`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function round1(ms: number): number {
  return Math.round(ms / 10) * 10;
}

/** A tenth of a pixel is as fine as anybody sees. */
function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}
