/** A move between two control stores: whole, or gone on with; never on both; refused where it could hurt. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { refuseIfMoved } from "../../../src/adapters/migration/mark.ts";
import { type MoveOptions, migrate, undo } from "../../../src/adapters/migration/migrate.ts";
import type { Store } from "../../../src/ports/store.ts";
import {
  agentOf,
  contents,
  deadline,
  type Fate,
  Killed,
  leaseOf,
  members,
  mortal,
  moved,
  newFolder,
  newMemory,
  put,
  reportOf,
  usual,
} from "./places.ts";

let runs = 0;

function optionsOf(from: Store, to: Store, patch: Partial<MoveOptions> = {}): MoveOptions {
  runs += 1;
  return {
    from: { name: "old", store: from },
    to: { name: "new", store: to },
    members,
    quietMs: 0,
    dryRun: false,
    id: `run-${runs}`,
    wall: () => 1_700_000_000_000,
    say: () => {},
    ...patch,
  };
}

const back = (options: MoveOptions): MoveOptions => ({ ...options, from: options.to, to: options.from });

test("everything arrives with its content, votes excepted, and only there", async () => {
  await using folder = newFolder();
  const [from, to] = [await folder.open("old.db"), await folder.open("new.db")];
  await put(from, usual);
  const options = optionsOf(from, to);
  assert.equal((await migrate(options)).kind, "moved");
  assert.deepEqual(await contents(to), moved);
  assert.equal(await from.get("lease/orders-db", deadline()), null);
  await refuseIfMoved(to, "new", deadline());
  await assert.rejects(refuseIfMoved(from, "old", deadline()), {
    code: "HOLDFAST_STORE_MOVED",
    message: /were moved to new on 2023-11-14/,
  });
  assert.equal((await migrate(options)).kind, "moved-before");
});

test("a move back brings what has changed meanwhile, and leaves nothing older", async () => {
  await using folder = newFolder();
  const [from, to] = [await folder.open("old.db"), await folder.open("new.db")];
  await put(from, usual);
  await migrate(optionsOf(from, to));
  await put(to, { "lease/orders-db": JSON.stringify(leaseOf("pg-b", 6)), "request/r2": "{}" });
  const gone = await to.get("request/r1", deadline());
  await to.compareAndSwap("request/r1", gone?.revision ?? 0, null, deadline());
  const wanted = await contents(to);
  assert.equal((await migrate(back(optionsOf(from, to)))).kind, "moved");
  assert.deepEqual(await contents(from), wanted);
  await refuseIfMoved(from, "old", deadline());
  await assert.rejects(refuseIfMoved(to, "new", deadline()), { code: "HOLDFAST_STORE_MOVED" });
});

test("killed before or after any of its writes, no lease is in both stores, none is lost, and the same command ends it", async () => {
  let points = 0;
  for (const lastIsDone of [false, true])
    for (let writes = 0; ; writes += 1) {
      const [from, to] = [newMemory(), newMemory()];
      await put(from, usual);
      const fate: Fate = { left: writes, lastIsDone };
      const ended = await migrate(optionsOf(mortal(from, fate), mortal(to, fate))).catch((error: unknown) => {
        if (error instanceof Killed) return null;
        throw error;
      });
      if (ended !== null && 0 <= fate.left) break;
      points += 1;
      await noLeaseTwiceOrLost(from, to, `killed at write ${writes}`);
      const again = await migrate(optionsOf(from, to));
      assert.ok(again.kind === "moved" || again.kind === "moved-before", JSON.stringify(again));
      assert.deepEqual(await contents(to), moved, `killed at write ${writes}`);
      await refuseIfMoved(to, "new", deadline());
    }
  assert.ok(40 <= points, `${points} points`);
});

test("killed anywhere before the leases are given, it can be taken back, also by a command that is killed", async () => {
  for (let writes = 1; ; writes += 1) {
    const [from, to] = [newMemory(), newMemory()];
    await put(from, usual);
    const fate: Fate = { left: writes, lastIsDone: true };
    const ended = await migrate(optionsOf(mortal(from, fate), mortal(to, fate))).catch(() => null);
    if (ended !== null) break;
    const second: Fate = { left: writes % 7, lastIsDone: writes % 4 === 1 };
    await undo(optionsOf(mortal(from, second), mortal(to, second))).catch(() => null);
    await noLeaseTwiceOrLost(from, to, `${writes} writes, then an interrupted undo`);
    const { kind, because } = await undo(optionsOf(from, to));
    if (kind === "refused" && /has given its leases/.test(because)) continue;
    assert.deepEqual(await contents(from), usual, `${writes} writes: ${because}`);
    assert.deepEqual(await contents(to), {}, `${writes} writes: ${because}`);
  }
});

test("a run that was overtaken by an undo ends nothing any more", async () => {
  await using folder = newFolder();
  const [from, to] = [await folder.open("old.db"), await folder.open("new.db")];
  await put(from, usual);
  let undone = false;
  const slow: Store = {
    ...mortal(from, { left: 1e9, lastIsDone: false }),
    async compareAndSwap(key, expect, value, signal) {
      // All leases are out: the very last write that could still be taken back.
      if (key === "migration" && value?.includes('"left"') && !undone) {
        undone = true;
        assert.equal((await undo(optionsOf(from, to))).kind, "undone");
      }
      return from.compareAndSwap(key, expect, value, signal);
    },
  };
  await assert.rejects(migrate(optionsOf(slow, to)), { code: "HOLDFAST_STORE_MOVE_FAILED" });
  assert.deepEqual(await contents(from), usual);
  assert.deepEqual(await contents(to), {});
});

test("an agent that beats in either store, also one that starts in the middle, stops the move", async () => {
  await using folder = newFolder();
  for (const where of ["old", "new"] as const) {
    const [from, to] = [await folder.open(`${where}-1.db`), await folder.open(`${where}-2.db`)];
    await put(from, usual);
    const stop = new AbortController();
    const beating = (async () => {
      for (let beat = 10; !stop.signal.aborted; beat += 1)
        await put(where === "old" ? from : to, { "agent/eu-b": JSON.stringify(agentOf("eu-b", { beat })) });
    })();
    const outcome = await migrate(optionsOf(from, to, { quietMs: 10_000 }));
    stop.abort();
    await beating;
    assert.deepEqual(outcome, {
      kind: "refused",
      because: [`the agent of eu-b beats in ${where}: stop all agents first, the primary's region last`],
    });
    assert.equal(await from.get("migration", deadline()), null);
  }
});

test("a lease that is renewed after it was copied is not taken: the move is taken back", async () => {
  await using folder = newFolder();
  const [from, to] = [await folder.open("old.db"), await folder.open("new.db")];
  await put(from, usual);
  const renewed = JSON.stringify(leaseOf("pg-c", 2, { renewal: 8 }));
  const watched: Store = {
    ...mortal(from, { left: 1e9, lastIsDone: false }),
    async compareAndSwap(key, expect, value, signal) {
      if (key === "lease/users-db" && value === null) await put(from, { [key]: renewed });
      return from.compareAndSwap(key, expect, value, signal);
    },
  };
  const outcome = await migrate(optionsOf(watched, to));
  assert.ok(outcome.kind === "refused" && /users-db was written meanwhile/.test(outcome.because.join()));
  assert.deepEqual(await contents(from), { ...usual, "lease/users-db": renewed });
  assert.deepEqual(await contents(to), {});
});

const inFlight: Readonly<Record<string, readonly [Readonly<Record<string, unknown>>, RegExp]>> = {
  "a claim": [{ "lease/orders-db": leaseOf("pg-b", 6, { phase: "claimed", basis: 40 }) }, /claimed epoch 6/],
  "a first start": [
    { "lease/orders-db": leaseOf("pg-a", 1, { phase: "vacant", primary: null }) },
    /never had/,
  ],
  "a claim that was given up": [
    { "lease/orders-db": leaseOf("pg-b", 6, { phase: "vacant", basis: 40 }) },
    /given up by/,
  ],
  "a handover": [
    { "lease/orders-db": leaseOf("pg-a", 5, { handover: { to: "pg-b", request: "r" } }) },
    /handed over/,
  ],
  "a sealed copy": [
    { "agent/eu-b": agentOf("eu-b", { members: { "pg-b": reportOf({ seal: { basis: 9, position: 1 } }) } }) },
    /pg-b is sealed/,
  ],
  "a running request": [
    { "request/r9": { schema: 1, kind: "switchover", status: "running", dataStore: "orders-db" } },
    /under way/,
  ],
  "a lease of another topology": [{ "lease/orders-db": leaseOf("pg-x", 5) }, /held by pg-x/],
  "a data store that nobody declares": [{ "lease/other-db": leaseOf("pg-a", 5) }, /no such data store/],
  "a lease that cannot be read": [{ "lease/orders-db": { schema: 2 } }, /cannot be read/],
};

for (const [name, [records, because]] of Object.entries(inFlight))
  test(`${name} is not moved, and nothing is changed`, async () => {
    await using folder = newFolder();
    const [from, to] = [await folder.open("old.db"), await folder.open("new.db")];
    const texts = Object.fromEntries(
      Object.entries(records).map(([key, value]) => [key, JSON.stringify(value)]),
    );
    await put(from, { ...usual, ...texts });
    const outcome = await migrate(optionsOf(from, to));
    assert.ok(
      outcome.kind === "refused" && because.test(outcome.because.join("\n")),
      JSON.stringify(outcome),
    );
    assert.deepEqual(await contents(from), { ...usual, ...texts });
    assert.deepEqual(await contents(to), {});
  });

const occupied: Readonly<Record<string, readonly [Readonly<Record<string, string>>, RegExp]>> = {
  "a higher epoch": [{ "lease/orders-db": JSON.stringify(leaseOf("pg-b", 6)) }, /knows epoch 6 .* epoch 5/],
  "a higher epoch of a data store that is not in the source": [
    { "lease/third-db": JSON.stringify(leaseOf("pg-z", 1)) },
    /epoch 1 of third-db, old knows none/,
  ],
  "a higher epoch on a member's disk": [
    { "agent/eu-b": JSON.stringify(agentOf("eu-b", { members: { "pg-b": reportOf({ floor: 8 }) } })) },
    /knows epoch 8 of orders-db/,
  ],
  "records of its own": [{ "incident/x": "{}" }, /never moved away/],
  "a lease of the same epoch": [
    { "lease/orders-db": usual["lease/orders-db"] as string },
    /never moved away/,
  ],
};

for (const [name, [records, because]] of Object.entries(occupied))
  test(`a target that knows ${name} is not written over`, async () => {
    await using folder = newFolder();
    const [from, to] = [await folder.open("old.db"), await folder.open("new.db")];
    await put(from, usual);
    await put(to, records);
    const outcome = await migrate(optionsOf(from, to));
    assert.ok(
      outcome.kind === "refused" && because.test(outcome.because.join("\n")),
      JSON.stringify(outcome),
    );
    assert.deepEqual(await contents(to), records);
  });

test("a store that was left is not moved again to a third one, nor back over newer epochs", async () => {
  await using folder = newFolder();
  const [from, to, third] = [
    await folder.open("old.db"),
    await folder.open("new.db"),
    await folder.open("third.db"),
  ];
  await put(from, usual);
  await migrate(optionsOf(from, to));
  const elsewhere = await migrate(optionsOf(from, third, { to: { name: "third", store: third } }));
  assert.ok(elsewhere.kind === "refused" && /was moved to new/.test(elsewhere.because.join()));
  // The new store was restored from a copy of before.
  await put(to, { "lease/orders-db": JSON.stringify(leaseOf("pg-a", 4)) });
  const older = await migrate(back(optionsOf(from, to)));
  assert.ok(older.kind === "refused" && /knows epoch 5/.test(older.because.join()), JSON.stringify(older));
});

test("a dry run writes nothing, also where there is no store yet", async () => {
  await using folder = newFolder();
  const [from, to] = [await folder.open("old.db"), await folder.open("new.db")];
  await put(from, usual);
  for (const store of [to, null]) {
    const outcome = await migrate(optionsOf(from, to, { dryRun: true, to: { name: "new", store } }));
    assert.equal(outcome.kind, "would-move");
  }
  assert.deepEqual(await contents(from), usual);
  assert.deepEqual((await to.list("", deadline())).revision, 0);
});

test("the revisions that leases get are not soon those that seals of the old store name", async () => {
  await using folder = newFolder();
  const [from, to] = [await folder.open("old.db"), await folder.open("new.db")];
  for (let beat = 0; beat < 120; beat += 1)
    await put(from, { "agent/eu-a": JSON.stringify(agentOf("eu-a", { beat })) });
  await put(from, usual);
  const { revision } = await from.list("", deadline());
  await migrate(optionsOf(from, to));
  assert.ok(revision < ((await to.get("lease/orders-db", deadline()))?.revision ?? 0));
  assert.deepEqual(await contents(to), moved);
});

/** M1 and M2. */
async function noLeaseTwiceOrLost(from: Store, to: Store, when: string): Promise<void> {
  const [here, there] = [await contents(from), await contents(to)];
  for (const name of members.keys()) {
    const [key, parcel] = [`lease/${name}`, `migration/lease/${name}`];
    assert.ok(!(key in here && key in there), `${when}: ${name} stands in both stores`);
    const texts = [here[key], there[key], here[parcel], there[parcel]].filter((text) => text !== undefined);
    assert.ok(0 < texts.length, `${when}: ${name} is lost`);
    // Agents start on neither store as long as a lease stands in none of them.
    if (key in here || key in there) continue;
    await assert.rejects(refuseIfMoved(from, "old", deadline()), { code: "HOLDFAST_STORE_MOVED" }, when);
    await assert.rejects(refuseIfMoved(to, "new", deadline()), { code: "HOLDFAST_STORE_MOVED" }, when);
  }
}
