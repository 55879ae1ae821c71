/** The live view of a lab in a terminal: who serves, how fast, and what just happened. */

import { dataStoreName } from "./layout.ts";
import type { LiveStats } from "./load-stats.ts";
import type { Observer } from "./observer.ts";

export interface LiveParts {
  readonly observer: Observer;
  readonly stats: () => LiveStats | null;
  readonly regions: readonly string[];
  readonly memberRegion: Readonly<Record<string, string>>;
  readonly hint: string;
  readonly paint: (ink: "red" | "yellow" | "green" | "blue" | "bold" | "dim", text: string) => string;
}

/** Lines of the journal shown. */
const storyMax = 10;
const sparkMax = 60;
const bars = "▁▂▃▄▅▆▇█";

export class LiveView {
  readonly #parts: LiveParts;
  readonly #story: string[] = [];
  readonly #rate: number[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #startedAt = Date.now();

  constructor(parts: LiveParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => this.#draw(), 500);
    process.stdout.write("\u001b[?25l");
  }

  say(text: string): void {
    this.#story.push(`${((Date.now() - this.#startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}`);
    if (this.#story.length > storyMax) this.#story.shift();
  }

  close(): void {
    clearInterval(this.#timer);
    process.stdout.write("\u001b[?25h\n");
  }

  #draw(): void {
    const { observer, paint, regions, memberRegion } = this.#parts;
    const stats = this.#parts.stats();
    const lease = observer.seen.leases.get(dataStoreName);
    const lines = [paint("bold", "Holdfast demo"), ""];
    const leads = lease?.phase === "committed" ? lease.holder : null;
    lines.push(
      leads
        ? `${paint("green", "●")} writes are served by ${paint("bold", memberRegion[leads] ?? "")} (${leads}), epoch ${lease?.epoch}; commits wait for ${lease?.durable.acknowledgements} of ${lease?.durable.standbys.map((copy) => copy.member).join(", ") || "nobody"}`
        : `${paint("red", "●")} ${lease ? `epoch ${lease.epoch} is ${lease.phase}: ${lease.because}` : "no primary yet"}`,
      "",
    );
    for (const region of regions) {
      const agent = observer.seen.agents.get(region);
      const members = Object.entries(agent?.members ?? {}).map(
        ([name, report]) =>
          `${name} ${report.state}${report.streaming ? ", streaming" : ""}${report.seal ? ", sealed" : ""}`,
      );
      const holding = agent?.holding[dataStoreName];
      lines.push(
        `  ${region.padEnd(12)} ${members.join("; ") || "votes"}${holding ? paint("yellow", `  ${holding.slice(0, 70)}`) : ""}`,
      );
    }
    if (stats) {
      const perSecond = (stats.ok * 1000) / Math.max(1, stats.spanMs);
      this.#rate.push(perSecond);
      if (this.#rate.length > sparkMax) this.#rate.shift();
      const top = Math.max(1, ...this.#rate);
      const spark = this.#rate
        .map((value) => bars[Math.min(bars.length - 1, Math.floor((value / top) * (bars.length - 1)))])
        .join("");
      lines.push("", `  requests ${spark} ${perSecond.toFixed(0)}/s`);
      lines.push(
        `  p50 ${stats.p50Ms.toFixed(1)} ms, p99 ${stats.p99Ms.toFixed(1)} ms; waiting ${stats.inFlight}; in all ${stats.totals.ok} answered, ${stats.totals.failed > 0 ? paint("red", `${stats.totals.failed} failed`) : "0 failed"}, ${stats.totals.acknowledged} orders acknowledged`,
      );
    }
    lines.push("", ...this.#story.map((line) => paint("dim", line)), "", this.#parts.hint);
    process.stdout.write(`\u001b[2J\u001b[H${lines.join("\n")}\n`);
  }
}
