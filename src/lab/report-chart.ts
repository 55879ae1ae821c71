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
function backdrop(report: DrillReport, frame: Frame): Markup {
  const bottom = frame.height - axisHeight;
  const end = Math.min(faultEndMs(report) ?? frame.toMs, frame.toMs);
  const moments = momentsOf(report).filter(({ ms }) => frame.fromMs <= ms && ms <= frame.toMs);
  let freeFrom = 0;
  return html`<rect class="fault" x="${px(frame.x(0))}" y="${top}" width="${px(Math.max(1, frame.x(end) - frame.x(0)))}" height="${bottom - top}"/>
${moments.map(({ ms, name }) => {
  const x = frame.x(ms);
  // 6.2: width of a letter at this size. A name that would run into the one before is left to the table.
  const shown = x >= freeFrom;
  const before = x + 6.2 * name.length > width - right;
  if (shown) freeFrom = before ? width : x + 6.2 * name.length + 10;
  return html`<line class="moment" x1="${px(x)}" x2="${px(x)}" y1="${top - 6}" y2="${bottom}"/>${shown && html`<text class="moment-name" text-anchor="${before ? "end" : "start"}" x="${px(before ? x - 4 : x + 4)}" y="${top - 10}">${name}</text>`}`;
})}`;
}

function momentsOf(report: DrillReport): readonly { readonly ms: number; readonly name: string }[] {
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

export function throughputChart(report: DrillReport): Markup {
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
  const area = (upper: readonly number[], lower: readonly number[]) => {
    const up = upper.map((value, i) => `L${px(at(i))} ${px(y(value))}H${px(at(i + 1))}`).join("");
    const down = lower
      .map((value, i) => `L${px(at(i + 1))} ${px(y(value))}H${px(at(i))}`)
      .reverse()
      .join("");
    return `M${px(at(0))} ${bottom}${up}${down}Z`;
  };
  const zero = totals.map(() => 0);
  const cut = totals.flatMap((value, i) => (value > yMax ? [{ value, x: (at(i) + at(i + 1)) / 2 }] : []));
  const highest = cut.reduce<(typeof cut)[number] | null>(
    (best, each) => (best === null || each.value > best.value ? each : best),
    null,
  );
  const grid = Array.from({ length: Math.round(yMax / step) + 1 }, (_, i) => i * step);
  const failures = sum(series.failed);
  return picture(
    "throughput",
    "Requests per second over time",
    `Some ${count(usual)} requests a second end as a rule. ${count(failures)} of ${count(sum(series.ok) + failures)} failed. Highest rate: ${count(peak)} a second. Longest time without an acknowledged order: ${duration(report.writeGapMs)}.`,
    frame,
    [
      backdrop(report, frame),
      ...grid.map((value) => gridLine(y(value), count(value))),
      html`<path class="ok" d="${area(ok, zero)}"/>`,
      html`<path class="failed" d="${area(totals, ok)}"/>`,
      html`<path class="orders" d="${orders.map((value, i) => `${i === 0 ? "M" : "L"}${px(at(i))} ${px(y(value))}H${px(at(i + 1))}`).join("")}"/>`,
      ...cut.map(
        ({ x }) =>
          html`<path class="cut" d="M${px(x - 4)} ${top + 6}L${px(x)} ${top - 1}L${px(x + 4)} ${top + 6}Z"/>`,
      ),
      html`${highest !== null && html`<text class="note" x="${px(highest.x + 9)}" y="${top + 9}">${count(highest.value)}/s: held requests released</text>`}`,
      timeAxis(frame),
    ],
  );
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
  const lines = { p50: worst(series.p50Ms), p99: worst(series.p99Ms), max: worst(series.maxMs) };
  const highest = Math.max(10, ...lines.max.map((value) => value ?? 0));
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
      html`<path class="max" d="${path(lines.max)}"/>`,
      html`<path class="p99" d="${path(lines.p99)}"/>`,
      html`<path class="p50" d="${path(lines.p50)}"/>`,
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
      timeAxis(frame),
    ],
  );
}

/** From impact to mitigation, to scale; a mark's number above, so that near ones can be told apart in the table. */
export function chronicleChart(report: DrillReport): Markup {
  const reached = (Object.entries(report.chronicle) as [Mark, number | null][]).flatMap(([mark, ms]) =>
    ms === null ? [] : [{ mark, ms }],
  );
  const last = Math.max(1, ...reached.map(({ ms }) => ms));
  const x = (ms: number) => left + (ms / last) * (width - left - right - 30);
  const groups: { x: number; marks: string[] }[] = [];
  for (const { mark, ms } of reached) {
    const near = groups.at(-1);
    if (near !== undefined && x(ms) - near.x < 26) near.marks.push(mark.slice(1));
    else groups.push({ x: x(ms), marks: [mark.slice(1)] });
  }
  const step = niceStep(last, 10);
  const ticks: number[] = [];
  for (let ms = 0; ms <= last; ms += step) ticks.push(ms);
  return picture(
    "chronicle",
    "The chronicle to scale",
    reached.map(({ mark, ms }) => `${mark} at ${duration(ms)}`).join(", "),
    { height: 74, fromMs: 0, toMs: last, x },
    [
      html`<line class="story" x1="${left}" x2="${px(x(last))}" y1="40" y2="40"/>`,
      ...ticks.map(
        (ms) =>
          html`<line class="axis" x1="${px(x(ms))}" x2="${px(x(ms))}" y1="46" y2="50"/><text class="tick" text-anchor="middle" x="${px(x(ms))}" y="64">${second(ms)}</text>`,
      ),
      ...reached.map(({ ms }) => html`<circle class="mark" cx="${px(x(ms))}" cy="40" r="5"/>`),
      ...groups.map(
        ({ x: at, marks }) =>
          html`<text class="mark-name" x="${px(at)}" text-anchor="middle" y="26">t${marks.length > 1 ? `${marks[0]}\u2013${marks.at(-1)}` : String(marks[0])}</text>`,
      ),
    ],
  );
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
