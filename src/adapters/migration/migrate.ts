/**
 * Moves all records of a topology from one control store to another, so that no agent can ever act on both.
 *
 * M1. No lease stands in both stores at any instant. It is taken out of the source by a compare-and-swap on the very
 *     revision that was copied, and only then put into the target. Whoever renews meanwhile makes the take fail, and
 *     the move is taken back; whoever renews afterwards fails by L3, and an agent that finds no lease claims none (L2).
 * M2. A lease that was taken out stands as a parcel in both stores until it is in the target: a kill, the loss of power
 *     or of either store at any step loses nothing, and the same command goes on from there.
 * M3. Both stores bear a mark until the target is whole, and the source for ever: an agent that starts on a marked
 *     store refuses to act (`mark.ts`).
 * M4. Everything is read back and compared before the first lease is taken out, and again before the target's mark goes.
 * M5. An outcome that is unknown is read anew, never assumed.
 *
 * That nobody acts meanwhile is looked at first, for longer than a living agent is ever silent; nothing rests on it.
 */
import { setTimeout as pause } from "node:timers/promises";
import { HoldfastError } from "../../core/model/error-code.ts";
import type { MemberName, Revision, StoreName } from "../../core/model/id.ts";
import { recordKeys } from "../../core/model/record.ts";
import type { SpanMs } from "../../core/model/time.ts";
import type { Store, StoredRecord } from "../../ports/store.ts";
import { judgeMove, type MoveFacts, type MovePlan, type MoveVerdict, type StoreSight } from "./judge.ts";
import { type Mark, markKey, type Parcel, parcelPrefix, readMark, readParcel } from "./mark.ts";

export interface MoveOptions {
  readonly from: Place;
  readonly to: Place;
  readonly members: ReadonlyMap<StoreName, readonly MemberName[]>;
  /** Nothing may be written in either store for this long: longer than an agent that lives is silent. */
  readonly quietMs: SpanMs;
  readonly dryRun: boolean;
  /** Of this run, and of the move if it begins now. */
  readonly id: string;
  readonly wall: () => number;
  /** One line of progress. */
  readonly say: (text: string) => void;
}

export interface Place {
  readonly name: string;
  /** null: nothing is there yet, and a dry run makes nothing. */
  readonly store: Store | null;
}

export type MoveOutcome =
  | { readonly kind: "moved" | "would-move"; readonly plan: MovePlan }
  | Exclude<MoveVerdict, { kind: "move" }>;

/** Of one call of a store. */
const callMs = 5000;
/** Tries of one write whose outcome stays unknown. */
const triesMax = 10;
/**
 * Revisions by which those that leases get in the target are kept away from the last ones of the source. A seal on a disk
 * that was never reported (R2) names one of these, and counts only while its member is still published: at most a lease
 * and `redundancyWaitMs` before the end of the source and as long after the start on the target, which is 60 s at 2
 * revisions a second in `cautious`, 10 s at 20 in `fast`.
 */
const apart = 1000;
const writersMax = 16;

export async function migrate(options: MoveOptions): Promise<MoveOutcome> {
  const { say } = options;
  const first = judgeMove(await look(options));
  if (first.kind !== "move") return first;
  if (!options.dryRun)
    say(`both stores are looked at for ${(options.quietMs / 1000).toFixed(1)} s: does anybody write?`);
  const busy = await whoWrites(options);
  if (busy !== null) return { kind: "refused", because: [busy] };
  if (options.dryRun) return { kind: "would-move", plan: first.plan };

  const facts = await look(options);
  const verdict = judgeMove(facts);
  if (verdict.kind !== "move") return verdict;
  const { plan } = verdict;
  const [from, to] = [storeOf(options.from), storeOf(options.to)];
  const mark: Mark = {
    schema: 1,
    id: plan.id ?? options.id,
    run: options.id,
    state: "leaving",
    other: options.to.name,
    at: options.wall(),
  };
  const arriving: Mark = { ...mark, state: "arriving", other: options.from.name };
  if (plan.from === "copy") {
    const marked = await setMark(from, markIn(facts.from)?.revision ?? 0, mark);
    await setMark(to, markIn(facts.to)?.revision ?? 0, arriving);
    say(`copying ${plan.others.size} records and ${plan.leases.length} leases`);
    await copy(from, to, plan, say);
    await raiseRevision(to, facts.from.revision, say);
    await verify(options.to, expected(plan));
    const changed = await takeLeases(from, plan, say);
    if (changed !== null) {
      await undo({ ...options, id: `${options.id}-undo` });
      return { kind: "refused", because: [`${changed}; everything is as it was in ${options.from.name}`] };
    }
    // The last instant at which it can be taken back: whoever did has rewritten the mark.
    await setMark(from, marked, { ...mark, state: "left" });
  } else await verify(options.to, plan.others);
  await putLeases(to, plan, say);
  await finish(options.to, plan);
  say(`${options.to.name} is whole`);
  return { kind: "moved", plan };
}

/**
 * Takes a move back that has not given the leases to the target yet. `to.store` null: it cannot be reached, and keeps its
 * mark. Resolves with what was done, or why it is not.
 */
export async function undo(
  options: Pick<MoveOptions, "from" | "to" | "id">,
): Promise<{ readonly kind: "undone" | "refused"; readonly because: string }> {
  const from = storeOf(options.from);
  const { records } = await sight(options.from);
  const found = records.find(({ key }) => key === markKey);
  const mark = readMark(found);
  if (!found || mark?.state !== "leaving")
    return {
      kind: "refused",
      because:
        mark?.state === "left"
          ? `${options.from.name} has given its leases to ${mark.other}: move them back from there`
          : `no move out of ${options.from.name} is under way`,
    };
  // M1: in `leaving` no lease has been put into the target yet, and nobody who has not seen this mark can go on to `left`.
  const marked = await setMark(from, found.revision, { ...mark, run: options.id });
  const parcels = records.filter(({ key }) => key.startsWith(parcelPrefix));
  const standing = new Set(records.map(({ key }) => key));
  for (const { key, value } of parcels) {
    const lease = recordKeys.lease(key.slice(parcelPrefix.length));
    const parcel = readParcel(value);
    if (parcel && !standing.has(lease)) await must(from, lease, 0, parcel.value);
  }
  // The target first: as long as the source is marked, the same command goes on.
  if (options.to.store !== null) {
    const there = await sight(options.to);
    const arriving = markIn(there);
    if (arriving && readMark(arriving)?.id === mark.id) {
      const rest = there.records.filter(({ key }) => key !== markKey);
      await together(rest, (record) => must(storeOf(options.to), record.key, record.revision, null));
      await setMark(storeOf(options.to), arriving.revision, null);
    }
  }
  await together(parcels, ({ key, revision }) => must(from, key, revision, null));
  await setMark(from, marked, null);
  return {
    kind: "undone",
    because: `${options.from.name} is as it was before the move: agents may start there`,
  };
}

/** M4: text of each record that the target must have, besides mark and leases. */
function expected(plan: MovePlan): Map<string, string> {
  const wanted = new Map(plan.others);
  for (const { dataStore, revision, text } of plan.leases) {
    const parcel: Parcel = { schema: 1, revision, value: text };
    wanted.set(parcelPrefix + dataStore, JSON.stringify(parcel));
  }
  return wanted;
}

/** M2: parcels in both stores, everything else in the target, and nothing there that is not in the source. */
async function copy(from: Store, to: Store, plan: MovePlan, say: (text: string) => void): Promise<void> {
  const wanted = expected(plan);
  const here = byKey((await from.list("", deadline())).records);
  for (const [key, text] of wanted)
    if (key.startsWith(parcelPrefix) && here.get(key)?.value !== text)
      await must(from, key, here.get(key)?.revision ?? 0, text);
  const there = byKey((await to.list("", deadline())).records);
  const writes = [...wanted].filter(([key, text]) => there.get(key)?.value !== text);
  const extra = [...there.values()].filter(({ key }) => key !== markKey && !wanted.has(key));
  let done = 0;
  await together(writes, async ([key, text]) => {
    await must(to, key, there.get(key)?.revision ?? 0, text);
    done += 1;
    if (done % 100 === 0) say(`copied ${done} of ${writes.length}`);
  });
  await together(extra, ({ key, revision }) => must(to, key, revision, null));
}

/** `apart`: where the target's revisions would soon run through the source's last ones, they are raised beyond. */
async function raiseRevision(to: Store, beyond: Revision, say: (text: string) => void): Promise<void> {
  const { revision } = await to.list("", deadline());
  const missing = beyond - revision;
  if (missing < 0 || apart < missing) return;
  say(`raising the revision of the new store from ${revision} beyond ${beyond}`);
  // Two writes each, and nothing is left of them.
  await together(Array.from({ length: Math.floor(missing / 2) + 1 }), async (_, index) => {
    const key = `migration/step/${index}`;
    const [step] = (await to.list(key, deadline())).records.filter((record) => record.key === key);
    await must(to, key, step?.revision ?? 0, "1");
    const made = await to.get(key, deadline());
    if (made) await must(to, key, made.revision, null);
  });
}

/** M1. null: all of them are out; else whose lease was renewed meanwhile. */
async function takeLeases(from: Store, plan: MovePlan, say: (text: string) => void): Promise<string | null> {
  for (const { dataStore, revision, standing, epoch, holder } of plan.leases) {
    if (!standing) continue;
    const taken = await swap(from, recordKeys.lease(dataStore), revision, null);
    if (taken === null) return `the lease of ${dataStore} was written meanwhile: an agent acts on it`;
    say(`taken out: ${dataStore}, epoch ${epoch}, ${holder}`);
  }
  return null;
}

async function putLeases(to: Store, plan: MovePlan, say: (text: string) => void): Promise<void> {
  for (const { dataStore, text, epoch, holder } of plan.leases) {
    await must(to, recordKeys.lease(dataStore), 0, text);
    say(`put in: ${dataStore}, epoch ${epoch}, ${holder}`);
  }
}

/** M4, and then the target is a store like any other. */
async function finish(to: Place, plan: MovePlan): Promise<void> {
  const leases = plan.leases.map(({ dataStore, text }) => [recordKeys.lease(dataStore), text] as const);
  await verify(to, new Map([...plan.others, ...leases]));
  const { records } = await sight(to);
  const store = storeOf(to);
  await together(
    records.filter(({ key }) => key.startsWith(parcelPrefix)),
    ({ key, revision }) => must(store, key, revision, null),
  );
  await setMark(store, markIn(await sight(to))?.revision ?? 0, null);
}

async function verify(place: Place, wanted: ReadonlyMap<string, string>): Promise<void> {
  const found = byKey((await sight(place)).records);
  const wrong = [...wanted].filter(([key, text]) => found.get(key)?.value !== text).map(([key]) => key);
  // A move that is gone on with may have put leases, and thrown parcels away, before.
  const mayBe = (key: string) => key === markKey || key.startsWith(parcelPrefix) || key.startsWith("lease/");
  const extra = [...found.keys()].filter((key) => !wanted.has(key) && !mayBe(key));
  if (wrong.length === 0 && extra.length === 0) return;
  throw new HoldfastError(
    "HOLDFAST_STORE_MOVE_FAILED",
    `${place.name} does not read back what was written: ${[...wrong, ...extra].slice(0, 5).join(", ")}; somebody else writes there`,
  );
}

/** Who writes in either store while nobody should; null: nobody. */
async function whoWrites({ from, to, quietMs }: MoveOptions): Promise<string | null> {
  const places = [from, to];
  const before = await Promise.all(places.map(sight));
  const until = performance.now() + quietMs;
  while (performance.now() < until) {
    await pause(Math.min(250, quietMs));
    const now = await Promise.all(places.map(sight));
    for (const [index, place] of places.entries()) {
      const key = firstChange(before[index] as StoreSight, now[index] as StoreSight);
      if (key === null) continue;
      const [room, name] = [key.slice(0, key.indexOf("/")), key.slice(key.indexOf("/") + 1)];
      return room === "agent"
        ? `the agent of ${name} beats in ${place.name}: stop all agents first, the primary's region last`
        : `${key} was written in ${place.name} just now: stop all agents first, the primary's region last`;
    }
  }
  return null;
}

function firstChange(before: StoreSight, now: StoreSight): string | null {
  const [old, found] = [byKey(before.records), byKey(now.records)];
  const changed = now.records.filter(({ key, revision }) => old.get(key)?.revision !== revision);
  const beats = changed.find(({ key }) => key.startsWith("agent/")) ?? changed[0];
  return beats?.key ?? before.records.find(({ key }) => !found.has(key))?.key ?? null;
}

async function look({ from, to, members }: MoveOptions): Promise<MoveFacts> {
  const [source, target] = await Promise.all([sight(from), sight(to)]);
  return { from: source, to: target, members };
}

async function sight({ name, store }: Place): Promise<StoreSight> {
  if (store === null) return { place: name, records: [], revision: 0 };
  return { place: name, ...(await store.list("", deadline())) };
}

function markIn(seen: StoreSight): StoredRecord | undefined {
  return seen.records.find(({ key }) => key === markKey);
}

function setMark(store: Store, expect: Revision, mark: Mark | null): Promise<Revision> {
  return must(store, markKey, expect, mark && JSON.stringify(mark));
}

/** null: somebody else has written it; not when that was the very same, as an earlier try of ours has. */
async function swap(
  store: Store,
  key: string,
  expect: Revision,
  value: string | null,
): Promise<Revision | null> {
  let because = "";
  for (let tries = 0; tries < triesMax; tries += 1) {
    const outcome = await store.compareAndSwap(key, expect, value, deadline());
    if (outcome.kind === "succeeded") return outcome.revision;
    if (outcome.kind === "conflict")
      return outcome.current !== null && outcome.current.value === value ? outcome.current.revision : null;
    // M5: tried anew against the same revision, at most one of the tries can come to stand (trap 8).
    because = outcome.because;
    await pause(100);
  }
  throw new HoldfastError("HOLDFAST_STORE_MOVE_UNKNOWN", because);
}

async function must(store: Store, key: string, expect: Revision, value: string | null): Promise<Revision> {
  const revision = await swap(store, key, expect, value);
  if (revision !== null) return revision;
  throw new HoldfastError("HOLDFAST_STORE_MOVE_FAILED", `${key} was written by somebody else meanwhile`);
}

/** A few at once, and all of them at their end also when one fails: nothing goes on behind a caller's back. */
async function together<T>(
  items: readonly T[],
  act: (item: T, index: number) => Promise<unknown>,
): Promise<void> {
  const queue = items.entries();
  const work = async () => {
    for (const [index, item] of queue) await act(item, index);
  };
  const settled = await Promise.allSettled(Array.from({ length: writersMax }, work));
  const failed = settled.find((one) => one.status === "rejected");
  if (failed) throw failed.reason;
}

function storeOf({ name, store }: Place): Store {
  if (store) return store;
  throw new HoldfastError("HOLDFAST_STORE_UNREACHABLE", `${name} is not open`);
}

function byKey(records: readonly StoredRecord[]): Map<string, StoredRecord> {
  return new Map(records.map((record) => [record.key, record]));
}

function deadline(): AbortSignal {
  return AbortSignal.timeout(callMs);
}
