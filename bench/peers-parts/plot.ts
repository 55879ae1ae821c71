/** Write gaps as a picture: a group of lines a fault, a line a system, from the median to the longest. Pure. */
import { type FaultName, faultTexts } from "./faults.ts";
import type { Row } from "./summary.ts";

const left = 270;
const right = 860;
const lineHeight = 20;
const groupGap = 34;
const ticksMs = [10, 100, 1000, 10_000, 100_000];
const colours: Readonly<Record<string, string>> = {
  holdfast: "#0b7a75",
  patroni: "#b4561b",
  pg_auto_failover: "#5b4ba5",
};

export function plotOf(rows: readonly Row[]): string {
  const parts: string[] = [];
  let y = 46;
  for (const fault of Object.keys(faultTexts) as FaultName[]) {
    const own = rows.filter((row) => row.fault === fault);
    if (own.length === 0) continue;
    parts.push(`<text x="16" y="${y}" class="fault">${fault}</text>`);
    for (const row of own) {
      y += lineHeight;
      parts.push(lineOf(row, y));
    }
    y += groupGap;
  }
  const height = y;
  const grid = ticksMs.map((ms) => {
    const x = at(ms);
    return `<line x1="${x}" y1="28" x2="${x}" y2="${height - 26}" class="grid"/><text x="${x}" y="20" text-anchor="middle">${ms / 1000} s</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 ${height}" role="img" aria-label="Write gaps by fault and system, on a logarithmic scale">
<style>text{font:12px system-ui,sans-serif;fill:#333}.fault{font-weight:600}.grid{stroke:#ddd}</style>
<rect width="900" height="${height}" fill="#fff"/>
${[...grid, ...parts].join("\n")}
</svg>
`;
}

function lineOf({ system, gapMedianMs, gapMaxMs }: Row, y: number): string {
  const colour = colours[system.split("-")[0] ?? ""] ?? "#555";
  const name = `<text x="${left - 12}" y="${y + 4}" text-anchor="end">${system}</text>`;
  if (gapMedianMs === null) return `${name}<text x="${right + 8}" y="${y + 4}" text-anchor="end">none</text>`;
  const from = at(gapMedianMs);
  const to = gapMaxMs === null ? right : at(gapMaxMs);
  return `${name}<line x1="${from}" y1="${y}" x2="${to}" y2="${y}" stroke="${colour}" stroke-width="3"/><circle cx="${from}" cy="${y}" r="5" fill="${colour}"/>`;
}

function at(ms: number): number {
  const [least = 1] = ticksMs;
  const most = ticksMs.at(-1) ?? 1;
  const share = Math.log(Math.max(ms, least) / least) / Math.log(most / least);
  return Math.round(left + (right - left) * share);
}
