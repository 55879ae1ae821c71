/** A report as one HTML page: no script, no request to anywhere, readable on a screen, on paper and aloud. */
import { type DrillReport, type Mark, markNames, marks, type Objective } from "./report.ts";
import { closeUpChart, latencyChart, throughputChart, writersChart } from "./report-chart.ts";
import { bytes, count, duration } from "./report-format.ts";
import { html, Markup } from "./report-html.ts";
import { style } from "./report-style.ts";

export function renderReportPage(report: DrillReport): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${verdictOf(report)}: ${report.fault} \u2013 Holdfast</title>
<style>${new Markup(style)}</style>
</head>
<body>
${hatches}
<main>
${head(report)}
${figures(report)}
${time(report)}
${chronicle(report)}
${objectives(report)}
${brokenPromises(report)}
${details(report)}
${method}
${foot(report)}
</main>
</body>
</html>
`;
  return page.text;
}

/** Patterns that several charts share: what is hatched is told without colour. */
const hatches = html`<svg width="0" height="0" aria-hidden="true" style="position:absolute"><defs>
<pattern id="hatch-fault" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="7" height="7" style="fill:var(--fault);opacity:.10"/><rect width="1.6" height="7" style="fill:var(--fault);opacity:.45"/></pattern>
<pattern id="hatch-failed" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)"><rect width="5" height="5" style="fill:var(--bad);opacity:.25"/><rect width="2.4" height="5" style="fill:var(--bad)"/></pattern>
</defs></svg>`;

const tick = html`<svg viewBox="0 0 30 30" aria-hidden="true"><circle cx="15" cy="15" r="13" fill="none" stroke="currentColor" stroke-width="2.4"/><path d="M8.5 15.5l4.5 4.5 8.5-9.5" fill="none" stroke="currentColor" stroke-width="3"/></svg>`;
const cross = html`<svg viewBox="0 0 30 30" aria-hidden="true"><circle cx="15" cy="15" r="13" fill="none" stroke="currentColor" stroke-width="2.4"/><path d="M10 10l10 10M20 10l-10 10" fill="none" stroke="currentColor" stroke-width="3"/></svg>`;

function verdictOf({ objectivesMet }: DrillReport): string {
  return objectivesMet ? "Objectives met" : "Objectives not met";
}

function head(report: DrillReport): Markup {
  const missed = report.objectives.filter(({ met, required }) => required && !met);
  const why =
    missed.length === 0
      ? `${report.objectives.filter(({ required }) => required).length} of ${report.objectives.filter(({ required }) => required).length} objectives, measured from outside by the clients and from the rows that were there at the end.`
      : missed.map((objective) => `${objective.label}: ${shown(objective, objective.measured)}`).join("; ");
  return html`<header>
<p class="kicker">Holdfast ${report.version} \u00b7 drill report \u00b7 <time datetime="${report.createdAt}">${report.createdAt.slice(0, 16).replace("T", " ")} UTC</time></p>
<h1>${report.faultText}</h1>
<p class="lead">Fault <b>${report.fault}</b>, profile <b>${report.profile}</b>, epoch ${report.epoch.before} \u2192 ${report.epoch.after}, run ${report.run}${report.seed !== null && `, seed ${report.seed}`}.</p>
<div class="verdict ${report.objectivesMet ? "good" : "bad"}">${report.objectivesMet ? tick : cross}<span><strong>${verdictOf(report)}</strong>${why}</span></div>
</header>`;
}

function figures(report: DrillReport): Markup {
  const { orders, requests, writers } = report;
  const rto = report.objectives.find(({ id }) => id === "write-gap");
  const missed = new Set(report.objectives.filter(({ met }) => !met).map(({ id }) => id));
  const figure = (name: string, objective: string, value: string, more: string) => {
    const bad = missed.has(objective);
    return html`<div><dt>${name}</dt><dd><span class="value ${bad && "bad"}">${bad && "\u2717 "}${value}</span><br><span class="small">${more}</span></dd></div>`;
  };
  return html`<dl class="figures">
${figure(
  "Longest time without writes",
  "write-gap",
  duration(report.writeGapMs),
  rto?.measured === null ? "writes did not come back" : `objective: ${duration(rto?.atMost ?? null)}`,
)}
${figure("Acknowledged orders lost", orders.doubled > 0 ? "doubled" : "lost", count(orders.lost), `of ${count(orders.acknowledged)}; ${count(orders.doubled)} doubled`)}
${figure("Repeatable requests failed", "safe-failed", count(requests.safeFailed), `${count(requests.held)} held, longest wait ${duration(requests.longestWaitMs)}`)}
${figure("Two writers at a time", "overlap", duration(writers.overlapMs), `epoch ${report.epoch.before} \u2192 ${report.epoch.after}, ${count(writers.terms.length)} terms`)}
</dl>`;
}

function time(report: DrillReport): Markup {
  return html`<section aria-labelledby="time">
<h2 id="time">What clients saw</h2>
<p class="small">Time from the fault. The hatched band lasts from the fault until service was validated, or else until writes came back.</p>
<figure><h3>Requests that ended, per second</h3>
<figcaption>${key("ok", "succeeded", "area")}${key("failed", "failed", "area")}${key("orders", "orders acknowledged", "line")}</figcaption>
${throughputChart(report)}</figure>
<figure><h3>How long they waited</h3>
<figcaption>${key("p50", "half of them, at most", "line")}${key("max", "the longest", "line")}\u2002 Of those that succeeded, from when they were due.</figcaption>
${latencyChart(report)}</figure>
<figure><h3>Who acknowledged orders, in which epoch</h3>
<figcaption>From the first to the last acknowledgement that a client received. Bars never stand over the same moment, unless two members wrote at a time (red hatching).</figcaption>
${writersChart(report)}</figure>
</section>`;
}

function key(kind: string, name: string, shape: "area" | "line"): Markup {
  const drawn =
    shape === "area"
      ? html`<rect class="${kind}" width="26" height="11"/>`
      : html`<line class="${kind}" x1="0" x2="26" y1="6" y2="6"/>`;
  return html`<svg class="key" viewBox="0 0 26 11" aria-hidden="true">${drawn}</svg>${name}`;
}

function chronicle(report: DrillReport): Markup {
  const saidOf: Readonly<Record<Mark, string>> = {
    t0: "the fault begins",
    t1: "the first agent sees it",
    t2: "somebody takes it on: the machine, or a person",
    t3: "a quorum agrees on what to do",
    t4: "the old primary can write no more",
    t5: "the new primary takes writes",
    t6: "traffic goes there",
    t7: "journeys through the edges pass",
    t8: "users no longer notice",
  };
  let before = 0;
  const rows = markNames.map((mark) => {
    const ms = report.chronicle[mark];
    const since = ms === null ? "" : `+${duration(Math.max(0, ms - before))}`;
    if (ms !== null) before = ms;
    return html`<tr><th scope="row">${mark} ${marks[mark]}</th><td>${saidOf[mark]}</td><td class="n">${duration(ms)}</td><td class="n">${mark !== "t0" && since}</td></tr>`;
  });
  return html`<section aria-labelledby="chronicle">
<h2 id="chronicle">Chronicle</h2>
<figure><h3>A closer look</h3>
<figcaption>${key("ok", "succeeded", "area")}${key("failed", "failed", "area")}${key("orders", "orders acknowledged", "line")}\u2002 Per second, with the marks of the table below.</figcaption>
${closeUpChart(report)}</figure>
<table><thead><tr><th scope="col">Mark</th><th scope="col">Meaning</th><th scope="col" class="n">From the fault</th><th scope="col" class="n">From the one before</th></tr></thead><tbody>${rows}</tbody></table>
${
  report.events.length > 0 &&
  html`<details><summary>What the machine saw and did: ${count(report.events.length)} entries</summary>
<table><thead><tr><th scope="col" class="n">From the fault</th><th scope="col">Who</th><th scope="col">What</th></tr></thead><tbody>${report.events.map(
    ({ atMs, who, what }) =>
      html`<tr><td class="n">${duration(atMs)}</td><td>${who}</td><td>${what}</td></tr>`,
  )}</tbody></table></details>`
}
</section>`;
}

function objectives(report: DrillReport): Markup {
  return html`<section aria-labelledby="objectives">
<h2 id="objectives">Objectives</h2>
<table><thead><tr><th scope="col">Objective</th><th scope="col" class="n">At most</th><th scope="col" class="n">Measured</th><th scope="col">Verdict</th></tr></thead><tbody>${report.objectives.map(
    (objective) =>
      html`<tr><th scope="row">${objective.label}</th><td class="n">${shown(objective, objective.atMost)}</td><td class="n">${shown(objective, objective.measured)}</td><td class="${objective.met ? "good" : "bad"}">${objective.met ? "\u2713 met" : "\u2717 missed"}${!objective.required && " (not part of the verdict)"}</td></tr>`,
  )}</tbody></table>
${report.problems.length > 0 && html`<p class="bad"><b>This run proves nothing:</b> ${report.problems.join("; ")}.</p>`}
</section>`;
}

function shown({ unit }: Objective, value: number | null): string {
  if (value === null) return "not reached";
  return unit === "ms" ? duration(value) : count(value);
}

function brokenPromises({ violations, violated }: DrillReport): Markup | false {
  if (violations.length === 0) return false;
  const total = Object.values(violated).reduce((sum, n) => sum + n, 0);
  return html`<section aria-labelledby="broken">
<h2 id="broken">Broken promises</h2>
<p>${count(total)} in all, the first of each kind:</p>
<table><thead><tr><th scope="col">Kind</th><th scope="col">What was seen</th></tr></thead><tbody>${violations.map(
    ({ kind, because }) => html`<tr><th scope="row">${kind}</th><td>${because}</td></tr>`,
  )}</tbody></table></section>`;
}

function details(report: DrillReport): Markup {
  const { orders, requests, writers, rejoin, failback } = report;
  const pair = (name: string, value: string) =>
    html`<tr><th scope="row">${name}</th><td class="n">${value}</td></tr>`;
  const failures = [
    ...Object.entries(requests.failures.safe).map(([kind, n]) => pair(`Repeatable, ${kind}`, count(n))),
    ...Object.entries(requests.failures.unsafe).map(([kind, n]) => pair(`Not repeatable, ${kind}`, count(n))),
  ];
  return html`<section aria-labelledby="details">
<h2 id="details">Figures</h2>
<div class="columns">
<table><caption class="small">Orders</caption><tbody>
${pair("Asked for", count(orders.asked))}${pair("Acknowledged", count(orders.acknowledged))}${pair("Lost", count(orders.lost))}${pair("Doubled", count(orders.doubled))}${pair("In the database, never asked for", count(orders.fabricated))}${pair("Not acknowledged: applied", count(orders.unacknowledged.applied))}${pair("Not acknowledged: absent", count(orders.unacknowledged.absent))}
</tbody></table>
<table><caption class="small">Requests</caption><tbody>
${pair("In all", count(requests.total))}${pair("Held by an edge, then answered", count(requests.held))}${pair("Longest wait", duration(requests.longestWaitMs))}${pair("Repeatable, failed", count(requests.safeFailed))}${pair("Not repeatable, failed honestly", count(requests.unsafeFailed))}${failures}
</tbody></table>
<table><caption class="small">Writers</caption><tbody>
${writers.terms.map(({ member, region, epoch, firstAckMs, lastAckMs, acknowledged }) =>
  pair(
    `${member}${region === "" ? "" : ` in ${region}`}, epoch ${epoch}`,
    `${count(acknowledged)} orders, ${duration(firstAckMs)} to ${duration(lastAckMs)}`,
  ),
)}${pair("Two at a time, by completion", duration(writers.overlapMs))}${pair("Two at a time, beyond doubt", duration(writers.overlapProvenMs))}
</tbody></table>
<table><caption class="small">Afterwards</caption><tbody>
${pair("Lost member back as standby", rejoin.asStandbyMs === null ? "not seen" : duration(rejoin.asStandbyMs))}${pair("Failback: longest time without writes", failback.writeGapMs === null ? "none made" : duration(failback.writeGapMs))}${pair("Failback: requests failed", failback.requestsFailed === null ? "none made" : count(failback.requestsFailed))}
</tbody></table>
</div></section>`;
}

const method = html`<section aria-labelledby="method">
<h2 id="method">How this was measured</h2>
<p class="small">Clients send at a fixed rate, whether answers come or not, and a wait counts from when its request was due, so that a slow moment cannot hide itself. Repeatable requests (reads, and orders with an Idempotency-Key) go to the next edge when one fails; an order without a key is tried once. An order is lost when a client was told of it and its row is not there at the end; doubled when its row is there more than once; requests that got no answer are looked up and must be there once or not at all. The longest time without writes is the largest gap between two acknowledgements, as clients received them, from the last before the fault on. Each acknowledgement names the member that gave it and its epoch; two members at a time would be seen here even if every row survived.</p>
</section>`;

function foot({ machine, series }: DrillReport): Markup {
  return html`<footer>${machine.cores} cores (${machine.processor}), ${bytes(machine.memoryBytes)} memory, ${machine.platform}, Node ${machine.node}, PostgreSQL ${machine.postgresql}. Charts are drawn from buckets of ${duration(series.bucketMs)}. The JSON document beside this page holds every figure.</footer>`;
}
