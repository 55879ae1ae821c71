/**
 * Two control stores as they stand in, the next move out: what would be copied, or everything that is in its way.
 *
 * What depends on the revisions of a store, which the other one counts differently:
 * R1. Votes (`expired` of an agent's record) name the revision of a lease. In the other store the same number is another
 *     lease: they are not copied. Each agent votes anew, a full lease after it has started (L2).
 * R2. Seals name the revision of the last renewal, and lie on the members' disks, out of reach: while one is reported,
 *     nothing is moved. How one that was never reported is kept from counting: `apart` in `migrate.ts`.
 * R3. `basis` of a lease is such a revision too, unless it is 0: only leases with 0 are moved, so that in the new store it
 *     is the revision that they get there. Seals made for it are made there, and any renewal there makes them void.
 * R4. Epochs, positions, incarnations, generations, and everything on members' disks and edges, count by themselves.
 */
import { z } from "zod";
import type { Epoch, MemberName, Revision, StoreName } from "../../core/model/id.ts";
import { splitKey } from "../../core/model/record.ts";
import type { StoredRecord } from "../../ports/store.ts";
import { type Mark, markKey, parcelPrefix, readMark, readParcel } from "./mark.ts";

export interface StoreSight {
  /** For people, and to know a place again: `etcd at http://a:2379`. */
  readonly place: string;
  readonly records: readonly StoredRecord[];
  readonly revision: Revision;
}

export interface MoveFacts {
  readonly from: StoreSight;
  readonly to: StoreSight;
  /** Data store -> its members, as the topology that is to run on the new store has them. */
  readonly members: ReadonlyMap<StoreName, readonly MemberName[]>;
}

export interface MovePlan {
  /** Of a move that was begun before; null: this one begins. */
  readonly id: string | null;
  /** `put`: the source has given everything away already, and only the other store is to be finished. */
  readonly from: "copy" | "put";
  /** Leases still in the source, and what is known of those that were taken out before. */
  readonly leases: readonly MovingLease[];
  /** Key -> text that the target is to have beside the leases. */
  readonly others: ReadonlyMap<string, string>;
}

export interface MovingLease {
  readonly dataStore: StoreName;
  readonly epoch: Epoch;
  readonly holder: MemberName;
  readonly phase: string;
  readonly text: string;
  readonly revision: Revision;
  /** Whether it still stands in the source. */
  readonly standing: boolean;
}

export type MoveVerdict =
  | { readonly kind: "move"; readonly plan: MovePlan }
  /** A move between these two was finished before. */
  | { readonly kind: "moved-before"; readonly because: string }
  | { readonly kind: "refused"; readonly because: readonly string[] };

const lease = z.looseObject({
  schema: z.literal(1),
  epoch: z.number().int().min(1),
  phase: z.enum(["claimed", "committed", "vacant"]),
  holder: z.string(),
  basis: z.number().int(),
  primary: z.looseObject({}).nullable(),
  handover: z.looseObject({ to: z.string() }).nullable(),
});
const agent = z.looseObject({
  schema: z.literal(1),
  region: z.string(),
  expired: z.record(z.string(), z.number()),
  members: z.record(
    z.string(),
    z.looseObject({ seal: z.looseObject({}).nullable(), floor: z.number(), epoch: z.number() }),
  ),
});
const request = z.looseObject({ kind: z.string(), status: z.string(), dataStore: z.string().nullable() });

/** Begin again when everything has settled: the same words for each cause. */
const settle = `start the agents on the old store, wait until "holdfast status" says that every standby streams, then stop them again, the primary's region last`;

export function judgeMove(facts: MoveFacts): MoveVerdict {
  const { from, to } = facts;
  const [leaving, arriving] = [markOf(from), markOf(to)];
  const before = whyNotBetween(facts, leaving, arriving);
  if (before !== null) return before;

  const because: string[] = [];
  const leases = new Map<StoreName, MovingLease>();
  const others = new Map<string, string>();
  for (const record of from.records) {
    const [room, name] = splitKey(record.key);
    if (record.key === markKey) continue;
    if (record.key.startsWith(parcelPrefix)) {
      if (!leaving) continue;
      const dataStore = record.key.slice(parcelPrefix.length);
      const parcel = readParcel(record.value);
      if (parcel === null) because.push(`${record.key} in ${from.place} cannot be read`);
      // One that still stands may have been renewed since its parcel was made: the standing one is the truth.
      else if (!leases.has(dataStore))
        takeLease(facts, { ...parcel, dataStore, standing: false }, leases, because);
    } else if (room === "lease")
      takeLease(
        facts,
        { dataStore: name, value: record.value, revision: record.revision, standing: true },
        leases,
        because,
      );
    else others.set(record.key, room === "agent" ? withoutVotes(record, because) : record.value);
    if (room === "request") because.push(...whyRequestStands(record));
  }
  if (leases.size === 0 && because.length === 0)
    because.push(
      `${from.place} holds no lease of this topology: there is nothing to move; start the agents on the new store`,
    );
  because.push(...whyNotOver(facts, leases, arriving));
  if (because.length > 0) return { kind: "refused", because };
  return {
    kind: "move",
    plan: {
      id: leaving?.id ?? null,
      from: leaving?.state === "left" ? "put" : "copy",
      leases: [...leases.values()],
      others,
    },
  };
}

/** What the marks of both stores say; null: nothing against it. */
function whyNotBetween(facts: MoveFacts, leaving: Mark | null, arriving: Mark | null): MoveVerdict | null {
  const { from, to } = facts;
  const refuse = (because: string): MoveVerdict => ({ kind: "refused", because: [because] });
  if (leaving?.state === "arriving")
    return refuse(
      `a move from ${leaving.other} to ${from.place} is not finished: finish it first, by the same command as then`,
    );
  if (arriving?.state === "leaving")
    return refuse(
      `a move from ${to.place} to ${arriving.other} is not finished: finish it first, or take it back with --undo`,
    );
  // One that was taken back when this store could not be reached: no lease of it can have come here.
  const wasUndone =
    !leaving && arriving?.other === from.place && !to.records.some(({ key }) => key.startsWith("lease/"));
  if (arriving?.state === "arriving" && arriving.id !== leaving?.id && !wasUndone)
    return refuse(
      `a move from ${arriving.other} to ${to.place} is not finished, and that is another one: finish it first, by the same command as then`,
    );
  if (!leaving || arriving?.id === leaving.id) return null;
  if (leaving.other !== to.place)
    return refuse(
      `${from.place} ${leaving.state === "left" ? "was moved to" : "is on its way to"} ${leaving.other}, not to ${to.place}${leaving.state === "left" ? "" : "; finish that, or take it back with --undo"}`,
    );
  if (leaving.state === "leaving") return null;
  const arrived = epochsOf(to);
  const missing = [...parcelEpochs(from)].filter(([name, epoch]) => (arrived.get(name) ?? 0) < epoch);
  if (missing.length === 0)
    return {
      kind: "moved-before",
      because: `everything in ${from.place} was moved to ${to.place} on ${new Date(leaving.at).toISOString()}`,
    };
  return refuse(
    `${from.place} was moved to ${to.place}, which has lost it since: it does not know ${missing.map(([name, epoch]) => `epoch ${epoch} of ${name}`).join(", ")}; restore a copy of ${to.place}`,
  );
}

function takeLease(
  facts: MoveFacts,
  found: Pick<MovingLease, "dataStore" | "revision" | "standing"> & { readonly value: string },
  leases: Map<StoreName, MovingLease>,
  because: string[],
): void {
  const { dataStore, value, revision, standing } = found;
  const where = `the lease of ${dataStore}`;
  const known = facts.members.get(dataStore);
  const parsed = lease.safeParse(json(value));
  if (!parsed.success)
    return void because.push(`${where} cannot be read: ${parsed.error.issues[0]?.message}`);
  const { epoch, phase, holder, basis, primary, handover } = parsed.data;
  leases.set(dataStore, { dataStore, epoch, phase, holder, text: value, revision, standing });
  if (!known?.includes(holder))
    because.push(
      known
        ? `${where} is held by ${holder}, who is no member of it in this topology: name the right topology files`
        : `${where} is in ${facts.from.place}, and this topology has no such data store: name the right topology files`,
    );
  if (!standing) return;
  if (phase === "claimed")
    because.push(
      `${holder} has claimed epoch ${epoch} of ${dataStore} and is not its primary yet: both copies still count; ${settle}`,
    );
  else if (primary === null) because.push(`${dataStore} has never had a primary: ${settle}`);
  // R3.
  else if (basis !== 0)
    because.push(
      `${where} was given up by a claimer, and copies are sealed for it by the revisions of ${facts.from.place}: ${settle}`,
    );
  if (handover !== null) because.push(`${dataStore} is being handed over to ${handover.to}: ${settle}`);
}

/** R1, R2. */
function withoutVotes(record: StoredRecord, because: string[]): string {
  const parsed = agent.safeParse(json(record.value));
  if (!parsed.success) {
    because.push(`${record.key} cannot be read: ${parsed.error.issues[0]?.message}`);
    return record.value;
  }
  for (const [member, report] of Object.entries(parsed.data.members))
    if (report.seal !== null)
      because.push(
        `${member} is sealed (an election is under way, or was cut short): its seal counts by the revisions of the old store; ${settle}`,
      );
  return JSON.stringify({ ...(json(record.value) as object), expired: {} });
}

function whyRequestStands(record: StoredRecord): readonly string[] {
  const parsed = request.safeParse(json(record.value));
  if (!parsed.success || parsed.data.status !== "running") return [];
  const { kind, dataStore } = parsed.data;
  return [`a ${kind}${dataStore ? ` of ${dataStore}` : ""} is under way (${record.key}): ${settle}`];
}

/** Epochs never go down, and what is not known to have been moved away is not written over. */
function whyNotOver(
  { from, to, members }: MoveFacts,
  leases: ReadonlyMap<StoreName, MovingLease>,
  arriving: Mark | null,
): readonly string[] {
  const because: string[] = [];
  const known = epochsOf(to);
  for (const [name, epoch] of floorsOf(to, members)) known.set(name, Math.max(epoch, known.get(name) ?? 0));
  for (const [name, epoch] of known) {
    const ours = leases.get(name)?.epoch ?? 0;
    if (ours < epoch)
      because.push(
        `${to.place} knows epoch ${epoch} of ${name}, ${from.place} knows ${ours === 0 ? "none" : `epoch ${ours}`}: an epoch never goes down; the newer records are in ${to.place}`,
      );
  }
  if (arriving !== null || because.length > 0) return because;
  const own = to.records.map(({ key }) => key).filter((key) => !/^(agent\/|routing$)/.test(key));
  if (own.length > 0)
    because.push(
      `${to.place} holds records of a topology of this name that were never moved away (${own.slice(0, 3).join(", ")}${own.length > 3 ? ", ..." : ""}): make sure that nobody needs them and remove them, or give the topology an empty store`,
    );
  return because;
}

/** The highest epoch of each data store that is known there: of leases, and of leases moved away. */
function epochsOf(sight: StoreSight): Map<StoreName, Epoch> {
  const epochs = parcelEpochs(sight);
  for (const record of sight.records) {
    const [room, name] = splitKey(record.key);
    if (room === "lease") raise(epochs, name, record.value);
  }
  return epochs;
}

/** As agents there reported it of their members' own disks. */
function floorsOf(sight: StoreSight, members: MoveFacts["members"]): Map<StoreName, Epoch> {
  const floors = new Map<StoreName, Epoch>();
  for (const record of sight.records) {
    if (splitKey(record.key)[0] !== "agent") continue;
    const parsed = agent.safeParse(json(record.value));
    for (const [member, { floor }] of Object.entries(parsed.data?.members ?? {}))
      for (const [name, names] of members)
        if (names.includes(member)) floors.set(name, Math.max(floor, floors.get(name) ?? 0));
  }
  return floors;
}

function parcelEpochs(sight: StoreSight): Map<StoreName, Epoch> {
  const epochs = new Map<StoreName, Epoch>();
  for (const { key, value } of sight.records)
    if (key.startsWith(parcelPrefix))
      raise(epochs, key.slice(parcelPrefix.length), readParcel(value)?.value ?? "");
  return epochs;
}

function raise(epochs: Map<StoreName, Epoch>, name: StoreName, text: string): void {
  const parsed = lease.safeParse(json(text));
  if (parsed.success) epochs.set(name, Math.max(parsed.data.epoch, epochs.get(name) ?? 0));
}

function markOf(sight: StoreSight): Mark | null {
  return readMark(sight.records.find(({ key }) => key === markKey));
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
