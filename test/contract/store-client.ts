/** A process of the contract suite that works on a store: `node store-client.ts MODULE SPEC JOB`. */
import type { Store } from "../../src/ports/store.ts";
import type { ClientJob } from "./store-place.ts";

const CALL_TIMEOUT_MS = 20_000;

const [module = "", spec = "", job = ""] = process.argv.slice(2);
const { openStore } = (await import(module)) as { openStore: (spec: unknown) => Promise<Store> };
process.stdin.on("end", () => process.exit(3)).resume();
process.stdin.unref?.();

const store = await openStore(JSON.parse(spec));
await work(JSON.parse(job) as ClientJob);
await store.close();
// The parent still holds our standard input open; nothing else may keep this process.
process.stdin.destroy();

async function work(job: ClientJob): Promise<void> {
  switch (job.kind) {
    case "count":
      return count(job);
    case "write":
      return write(job);
    case "open-and-close":
      return openAndClose();
    default:
      return job satisfies never;
  }
}

interface Counter {
  readonly total: number;
  readonly shares: Readonly<Record<string, number>>;
}

async function count({ key, name, times }: Extract<ClientJob, { kind: "count" }>): Promise<void> {
  let mine = 0;
  while (mine < times) {
    const record = await store.get(key, deadline());
    const counter: Counter = record === null ? { total: 0, shares: {} } : JSON.parse(record.value);
    const share = counter.shares[name] ?? 0;
    // An outcome that was unknown may have been written after all: only the record tells.
    if (mine < share) {
      say({ share });
      mine = share;
      continue;
    }
    const next: Counter = { total: counter.total + 1, shares: { ...counter.shares, [name]: share + 1 } };
    const outcome = await store.compareAndSwap(key, record?.revision ?? 0, JSON.stringify(next), deadline());
    if (outcome.kind !== "succeeded") continue;
    mine += 1;
    say({ share: mine });
  }
}

/** Two keys shared with every other writer and one of its own, deleted every fifth time. */
async function write({ prefix, name, times }: Extract<ClientJob, { kind: "write" }>): Promise<void> {
  const keys = [`${prefix}shared/1`, `${prefix}shared/2`, `${prefix}own/${name}`];
  for (let round = 0, written = 0; written < times; round += 1) {
    const key = keys[round % keys.length] as string;
    const record = await store.get(key, deadline());
    const value = record !== null && round % 5 === 4 ? null : JSON.stringify({ name, round });
    const outcome = await store.compareAndSwap(key, record?.revision ?? 0, value, deadline());
    if (outcome.kind === "unknown") throw new Error(`nothing was in the way, and yet: ${outcome.because}`);
    if (outcome.kind === "conflict" || (record === null && value === null)) continue;
    written += 1;
    const { revision } = outcome;
    say({
      change:
        value === null
          ? { kind: "deleted", key, revision }
          : { kind: "put", record: { key, value, revision } },
    });
  }
}

async function openAndClose(): Promise<void> {
  const stop = new AbortController();
  await store.list("", deadline());
  const watch = store.watch("", 0, stop.signal)[Symbol.asyncIterator]();
  await watch.next();
  const unread = store.watch("", 0, new AbortController().signal)[Symbol.asyncIterator]();
  const pending = unread.next().then(() => unread.next());
  await store.close();
  await pending;
  say({ closed: true });
}

function deadline(): AbortSignal {
  return AbortSignal.timeout(CALL_TIMEOUT_MS);
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
