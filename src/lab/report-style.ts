/** How a report looks: light, dark, on paper, and for whoever cannot tell red from green. */

/** Colours of members after Okabe and Ito, which all kinds of colour vision tell apart; names stand beside them. */
export const style = `
:root {
  color-scheme: light dark;
  --ground: #fbfaf7; --card: #ffffff; --ink: #1c2126; --quiet: #5b656e; --line: #dfdcd4; --grid: #eceae4;
  --good: #0b6b4f; --good-ground: #e3f2ec; --bad: #b3261e; --bad-ground: #fbe9e7;
  --ok: #7ba7c4; --orders: #0b3c5d; --fault: #c98a1b; --longest: #a3458b;
  --lane-0: #0072b2; --lane-1: #b85c00; --lane-2: #007a5a; --lane-3: #8a4f7d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12161a; --card: #1a2025; --ink: #e6e8ea; --quiet: #9aa5af; --line: #2d353c; --grid: #252c32;
    --good: #6fd0ae; --good-ground: #15302a; --bad: #ff8a80; --bad-ground: #3b1f1e;
    --ok: #3d6f8f; --orders: #a8d4ee; --fault: #e0a63a; --longest: #e59ad0;
    --lane-0: #1f7fb8; --lane-1: #b8651a; --lane-2: #1d8a68; --lane-3: #97598a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", sans-serif;
}
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 6px 0 8px; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 44px 0 4px; }
p { margin: 4px 0; max-width: 76ch; }
.lead { color: var(--quiet); font-size: 16px; }
.small, figcaption { color: var(--quiet); font-size: 13.5px; }
.kicker { color: var(--quiet); font-size: 13px; letter-spacing: 0.04em; }
.verdict {
  display: flex; gap: 14px; align-items: center; border-radius: 10px; padding: 14px 18px; margin: 22px 0 14px;
  border: 1px solid currentColor;
}
.verdict strong { font-size: 18px; display: block; line-height: 1.3; }
.verdict span { color: var(--ink); }
.verdict svg { width: 30px; height: 30px; flex: none; }
.good { color: var(--good); } .bad { color: var(--bad); }
.verdict.good { background: var(--good-ground); } .verdict.bad { background: var(--bad-ground); }
.figures { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; margin: 14px 0; padding: 0; }
.figures div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.figures dt { color: var(--quiet); font-size: 13.5px; }
.figures dd { margin: 0; }
.figures .value { font-size: 29px; font-weight: 650; line-height: 1.25; font-variant-numeric: tabular-nums; letter-spacing: -0.01em; }
figure { margin: 10px 0 18px; background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 14px 8px; }
figure h3 { font-size: 15px; margin: 0 4px 2px; }
figcaption { margin: 0 4px 6px; }
svg { display: block; width: 100%; height: auto; }
svg text { font-size: 12px; font-family: inherit; fill: var(--quiet); }
svg .note, svg .moment-name { fill: var(--ink); }
svg .term-name { fill: #ffffff; font-weight: 600; }
svg .axis { stroke: var(--quiet); } svg .grid { stroke: var(--grid); }
svg .fault { fill: url(#hatch-fault); }
svg .moment { stroke: var(--ink); stroke-dasharray: 2 3; }
svg .ok { fill: var(--ok); }
svg .failed { fill: url(#hatch-failed); stroke: var(--bad); stroke-width: 0.6; }
svg .orders { fill: none; stroke: var(--orders); stroke-width: 1.4; }
svg .cut { fill: var(--ink); }
svg .p50 { fill: none; stroke: var(--orders); stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
svg .max { fill: none; stroke: var(--longest); stroke-width: 1.3; stroke-dasharray: 4 2.5; }
svg .lane-0 { fill: var(--lane-0); } svg .lane-1 { fill: var(--lane-1); }
svg .lane-2 { fill: var(--lane-2); } svg .lane-3 { fill: var(--lane-3); }
.key { display: inline-block; width: 26px; height: 11px; vertical-align: -1px; margin: 0 5px 0 12px; }
.key:first-child { margin-left: 0; }
table { border-collapse: collapse; width: 100%; margin: 10px 0; background: var(--card); border: 1px solid var(--line); border-radius: 10px; overflow: hidden; border-spacing: 0; }
tbody td { max-width: 46ch; }
th, td { text-align: left; padding: 8px 14px; border-bottom: 1px solid var(--grid); vertical-align: top; overflow-wrap: break-word; }
tr:last-child td, tr:last-child th { border-bottom: 0; }
caption { text-align: left; padding: 10px 14px 0; font-weight: 600; }
thead th { color: var(--quiet); font-size: 13px; font-weight: 600; }
tbody th { font-weight: 500; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.columns { display: grid; grid-template-columns: 1fr 1fr; gap: 0 24px; align-items: start; }
summary { cursor: pointer; color: var(--quiet); margin: 8px 0; }
footer { margin-top: 48px; padding-top: 14px; border-top: 1px solid var(--line); color: var(--quiet); font-size: 13px; }
@media screen and (max-width: 760px) { .figures { grid-template-columns: 1fr 1fr; } .columns { grid-template-columns: 1fr; } main { padding: 24px 14px; } }
@media screen and (max-width: 760px) { figure { overflow-x: auto; } figure > svg { min-width: 680px; } th, td { padding: 7px 8px; } thead .n { white-space: normal; } }
@media print {
  @page { size: A4; margin: 14mm; }
  :root {
    color-scheme: light; --ground: #fff; --card: #fff; --ink: #000; --quiet: #444; --line: #bbb; --grid: #ddd;
    --good: #0b6b4f; --good-ground: #fff; --bad: #b3261e; --bad-ground: #fff;
    --ok: #9dbfd6; --orders: #0b3c5d; --fault: #c98a1b; --longest: #a3458b;
    --lane-0: #0072b2; --lane-1: #b85c00; --lane-2: #007a5a; --lane-3: #8a4f7d;
  }
  main { padding: 0; max-width: none; } body { font-size: 11px; line-height: 1.4; }
  h1 { font-size: 22px; } h2 { font-size: 14px; margin-top: 20px; } .lead { font-size: 12px; }
  .small, figcaption, thead th, .figures dt, .kicker, footer { font-size: 10.5px; } .verdict strong { font-size: 14px; }
  .figures .value { font-size: 20px; } th, td { padding: 4px 8px; } figure { padding: 8px 8px 4px; } figure h3 { font-size: 12px; }
  table { overflow: visible; } footer { margin-top: 20px; }
  figure, table, .verdict, .figures div { break-inside: avoid; } h2, h3 { break-after: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;
