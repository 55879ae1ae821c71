/** `node writer-main.ts --config FILE`: writes row after row and notes who acknowledged what, until its stdin ends. */
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { monotonicMs } from "../../src/lab/monotonic.ts";
import type { Acknowledgement, LiveWriters, Term, WriterClient, WriterConfig } from "./writer-record.ts";
import { WriterSession } from "./writer-session.ts";

const { values } = parseArgs({ options: { config: { type: "string" } } });
const config = JSON.parse(readFileSync(values.config ?? "", "utf8")) as WriterConfig;

/** Else a refused connection would spin. */
const pauseMs = 25;
const liveMs = 100;

const acknowledgements: Acknowledgement[] = [];
const failures: Record<string, number> = {};
const terms = new Map<string, Term & { firstAt: number; lastAt: number }>();
const stopping = new AbortController();
let stalledMs = 0;
let lookedAt = monotonicMs();

process.stdin.on("end", () => stopping.abort()).resume();
// Ctrl-C reaches the whole group: what to do then is our parent's decision.
process.on("SIGINT", () => undefined);
const telling = setInterval(() => {
  const now = monotonicMs();
  stalledMs = Math.max(stalledMs, now - lookedAt - liveMs);
  lookedAt = now;
  tell();
}, liveMs);
await Promise.all(config.clients.map(run));
clearInterval(telling);
writeFileSync(config.recordFile, JSON.stringify({ acknowledgements, failures, stalledMs }), { mode: 0o600 });
tell();

function tell(): void {
  const acknowledged = acknowledgements.length;
  const live: LiveWriters = { terms: [...terms.values()], acknowledged, failures };
  process.stdout.write(`${JSON.stringify(live)}\n`);
}

async function run(client: WriterClient): Promise<void> {
  let session: WriterSession | null = null;
  let at = 0;
  for (let number = 0; !stopping.signal.aborted; number++) {
    const sentAt = monotonicMs();
    let pauseUntil = sentAt + client.everyMs;
    try {
      session ??= await WriterSession.open(client.urls[at % client.urls.length] ?? "", config);
      const writtenAt = monotonicMs();
      const term = await session.write(config.run, client.name, number);
      note(client.name, number, writtenAt, term);
    } catch (error) {
      const because = error instanceof Error ? error.message : String(error);
      failures[because] = (failures[because] ?? 0) + 1;
      // It may lead to a member that is no longer the writer.
      session?.end();
      session = null;
      at++;
      pauseUntil = Math.max(pauseUntil, monotonicMs() + pauseMs);
    }
    const leftMs = pauseUntil - monotonicMs();
    if (leftMs > 0) await sleep(leftMs, undefined, { signal: stopping.signal }).catch(() => undefined);
  }
  session?.end();
}

function note(client: string, number: number, sentAt: number, { member, epoch }: Term): void {
  const doneAt = monotonicMs();
  acknowledgements.push({ client, number, sentAt, doneAt, member, epoch });
  const key = `${member}@${epoch}`;
  const term = terms.get(key);
  if (term) term.lastAt = doneAt;
  else terms.set(key, { member, epoch, firstAt: doneAt, lastAt: doneAt });
}
