/** Two control stores with the records of a small topology in one of them, and what an interruption does to a store. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteStore } from "../../../src/adapters/sqlite/sqlite.ts";
import type { AgentRecord, LeaseRecord, MemberReport } from "../../../src/core/model/record.ts";
import type { Store, StoredRecord } from "../../../src/ports/store.ts";

export const members = new Map([
  ["orders-db", ["pg-a", "pg-b"]],
  ["users-db", ["pg-c", "pg-d"]],
]);

export const deadline = () => AbortSignal.timeout(10_000);

export function leaseOf(holder: string, epoch: number, patch: Partial<LeaseRecord> = {}): LeaseRecord {
  return {
    schema: 1,
    epoch,
    phase: "committed",
    holder,
    renewal: 7,
    stamp: "boot/9",
    basis: 0,
    primary: { member: holder, incarnation: `i-${holder}`, epoch },
    durable: {
      acknowledgements: 1,
      standbys: [{ member: "pg-b", incarnation: "i-b" }],
      position: 4711,
      final: false,
    },
    handover: null,
    because: "first start",
    ...patch,
  };
}

export function agentOf(region: string, patch: Partial<AgentRecord> = {}): AgentRecord {
  return {
    schema: 1,
    region,
    boot: "b",
    beat: 3,
    expired: {},
    members: {},
    sees: {},
    applied: 4,
    topology: "digest",
    holding: {},
    ...patch,
  };
}

export function reportOf(patch: Partial<MemberReport> = {}): MemberReport {
  return {
    state: "standby",
    incarnation: "i-b",
    timeline: 1,
    position: 4711,
    epoch: 5,
    floor: 5,
    seal: null,
    streaming: true,
    ...patch,
  };
}

/** Key -> text. */
export const usual: Readonly<Record<string, string>> = {
  "lease/orders-db": JSON.stringify(leaseOf("pg-a", 5)),
  "lease/users-db": JSON.stringify(leaseOf("pg-c", 2, { phase: "vacant" })),
  "agent/eu-a": JSON.stringify(agentOf("eu-a", { expired: { "orders-db": 3 } })),
  "agent/eu-b": JSON.stringify(agentOf("eu-b", { members: { "pg-b": reportOf() } })),
  "incident/orders-db-5": JSON.stringify({
    schema: 1,
    id: "orders-db-5",
    status: "declared",
    text: "ä ☂ \u0000",
  }),
  "request/r1": JSON.stringify({
    schema: 1,
    id: "r1",
    kind: "failback",
    status: "succeeded",
    dataStore: null,
  }),
  routing: JSON.stringify({ table: { schema: 1, generation: 9 }, keyId: "k", signature: "s" }),
  "future/thing": "not even JSON",
};

/** What a whole target holds after `usual` was moved. */
export const moved: Readonly<Record<string, string>> = {
  ...usual,
  "agent/eu-a": JSON.stringify(agentOf("eu-a")),
};

export async function put(store: Store, records: Readonly<Record<string, string>>): Promise<void> {
  for (const [key, value] of Object.entries(records)) {
    const before = await store.get(key, deadline());
    const outcome = await store.compareAndSwap(key, before?.revision ?? 0, value, deadline());
    if (outcome.kind !== "succeeded") throw new Error(`${key}: ${JSON.stringify(outcome)}`);
  }
}

export async function contents(store: Store): Promise<Record<string, string>> {
  const { records } = await store.list("", deadline());
  return Object.fromEntries(records.map(({ key, value }) => [key, value]));
}

export interface Folder extends AsyncDisposable {
  open(name: string, topology?: string): Promise<Store>;
}

/** SQLite stores in a folder of their own. */
export function newFolder(): Folder {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-migration-"));
  const stores: Store[] = [];
  return {
    async open(name, topology = "t") {
      const store = await openSqliteStore({ path: join(folder, name), topology });
      stores.push(store);
      return store;
    },
    async [Symbol.asyncDispose]() {
      for (const store of stores) await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A store without a disk, for the thousands of writes at each of which a move is killed. */
export function newMemory(): Store {
  const records = new Map<string, StoredRecord>();
  let revision = 0;
  return {
    get: async (key) => records.get(key) ?? null,
    list: async (prefix) => ({
      records: [...records.values()]
        .filter(({ key }) => key.startsWith(prefix))
        .sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key))),
      revision,
    }),
    async compareAndSwap(key, expect, value) {
      const current = records.get(key) ?? null;
      if ((current?.revision ?? 0) !== expect) return { kind: "conflict", current };
      if (current === null && value === null) return { kind: "succeeded", revision };
      revision += 1;
      if (value === null) records.delete(key);
      else records.set(key, { key, value, revision });
      return { kind: "succeeded", revision };
    },
    watch: () => {
      throw new Error("a move watches nothing");
    },
    close: async () => {},
  };
}

export class Killed extends Error {}

/** Counts the writes of both stores; the one after the last that may be, and everything later, is as if killed. */
export interface Fate {
  left: number;
  /** Whether the last write is done, with nobody left to hear of it. */
  readonly lastIsDone: boolean;
}

export function mortal(store: Store, fate: Fate): Store {
  const live = () => {
    if (fate.left < 0) throw new Killed();
  };
  return {
    get(key, signal) {
      live();
      return store.get(key, signal);
    },
    list(prefix, signal) {
      live();
      return store.list(prefix, signal);
    },
    watch: (prefix, from, signal) => store.watch(prefix, from, signal),
    async compareAndSwap(key, expect, value, signal) {
      live();
      fate.left -= 1;
      if (fate.left < 0) {
        if (fate.lastIsDone) await store.compareAndSwap(key, expect, value, signal);
        throw new Killed();
      }
      return store.compareAndSwap(key, expect, value, signal);
    },
    close: () => Promise.resolve(),
  };
}
