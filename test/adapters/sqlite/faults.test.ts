/** What the SQLite store says and does when its file, its folder or its disk is wrong. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { lockStore } from "../../../src/adapters/sqlite/lock.ts";
import { openSqliteStore, type SqliteStoreOptions } from "../../../src/adapters/sqlite/sqlite.ts";
import { type Store, StoreError, type StoreErrorCode, type WatchEvent } from "../../../src/ports/store.ts";
import { eventually } from "../../contract/store-place.ts";
import { newSqlitePlace } from "./place.ts";

const deadline = (ms = 5000) => AbortSignal.timeout(ms);
const isRoot = process.getuid?.() === 0;

test("a file of another topology is not opened", async () => {
  await inFolder(async (path) => {
    await (await open({ path, topology: "shop" })).close();
    await refusesToOpen(
      path,
      "HOLDFAST_STORE_OTHER_TOPOLOGY",
      /belongs to topology "shop", not to "bank"/,
      "bank",
    );
    await (await open({ path, topology: "shop" })).close();
  });
});

test("a file of another schema is not opened", async () => {
  await inFolder(async (path) => {
    await (await open({ path, topology: "shop" })).close();
    using database = new DatabaseSync(path);
    database.exec("PRAGMA user_version = 2");
    await refusesToOpen(path, "HOLDFAST_STORE_OTHER_SCHEMA", /has schema 2, and this program knows schema 1/);
  });
});

test("a database of another program is not opened, and not changed", async () => {
  await inFolder(async (path) => {
    {
      using database = new DatabaseSync(path);
      database.exec("CREATE TABLE theirs (a)");
    }
    const before = await readFile(path);
    await refusesToOpen(path, "HOLDFAST_STORE_OTHER_SCHEMA", /another program/);
    assert.deepEqual(await readFile(path), before);
  });
});

test("a file that is no database is not opened, and not changed", async () => {
  await inFolder(async (path) => {
    const garbage = "regions: [eu-west]\n".repeat(1000);
    await writeFile(path, garbage);
    await refusesToOpen(path, "HOLDFAST_STORE_CORRUPT", /damaged or no database.*restore the last good copy/);
    assert.equal(await readFile(path, "utf8"), garbage);
  });
});

test("a file damaged while it is open fails reads and writes with a clear error, and the watch is lost", async () => {
  await inFolder(async (path) => {
    const store = await open({ path, topology: "shop" });
    const { events, stop } = follow(store);
    await eventually("the watch begins", () => events.length > 0);
    const length = (await readFile(path)).length;
    await writeFile(path, Buffer.alloc(length, 0x5a));
    await assert.rejects(store.list("", deadline()), failsWith("HOLDFAST_STORE_CORRUPT", false));
    const outcome = await store.compareAndSwap("a", 0, "1", deadline());
    assert.ok(outcome.kind === "unknown" && /damaged|emptied/.test(outcome.because), JSON.stringify(outcome));
    await eventually("the watch is lost", () => events.at(-1)?.kind === "lost");
    stop();
    await store.close();
  });
});

test("a file that is emptied while it is open is not made anew", async () => {
  await inFolder(async (path) => {
    const store = await open({ path, topology: "shop" });
    assert.equal((await store.compareAndSwap("a", 0, "1", deadline())).kind, "succeeded");
    await writeFile(path, "");
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await assert.rejects(store.get("a", deadline()), failsWith("HOLDFAST_STORE_CORRUPT", false));
      const outcome = await store.compareAndSwap("a", 0, "2", deadline());
      assert.ok(outcome.kind === "unknown" && /emptied/.test(outcome.because), JSON.stringify(outcome));
    }
    assert.equal((await readFile(path)).length, 0);
  });
});

test("a folder that is not there is named", async () => {
  await inFolder((path) =>
    refusesToOpen(join(path, "none", "control.db"), "HOLDFAST_STORE_UNREACHABLE", /its folder exists/),
  );
});

test("a folder that cannot be written is named", async (context) => {
  await inFolder(async (path, folder) => {
    if (!isRoot) {
      await chmod(folder, 0o555);
      await refusesToOpen(path, "HOLDFAST_STORE_UNREACHABLE", /the agent's user may write there/);
      await chmod(folder, 0o755);
      return;
    }
    // Root may write in any folder, but on no file system that is mounted read-only.
    await withTmpfs(context, folder, "1m", async (mount) => {
      const there = join(mount, "control.db");
      await (await open({ path: there, topology: "shop" })).close();
      execFileSync("mount", ["-o", "remount,ro", mount]);
      await refusesToOpen(there, "HOLDFAST_STORE_READ_ONLY", /cannot be written.*mounted read-write/);
      await refusesToOpen(
        join(mount, "other.db"),
        "HOLDFAST_STORE_UNREACHABLE",
        /the agent's user may write there/,
      );
    });
  });
});

test("a full disk stops writes, not reads, and writes go on when there is space", async (context) => {
  await inFolder(async (_, folder) => {
    await withTmpfs(context, folder, "1m", async (mount) => {
      const store = await open({ path: join(mount, "control.db"), topology: "shop" });
      const { events, stop } = follow(store);
      const first = await store.compareAndSwap("a", 0, "1", deadline());
      assert.equal(first.kind, "succeeded");
      const ballast = join(mount, "ballast");
      assert.throws(() =>
        execFileSync("dd", ["if=/dev/zero", `of=${ballast}`, "bs=4k"], { stdio: "ignore" }),
      );
      const large = JSON.stringify("x".repeat(100_000));
      const outcome = await store.compareAndSwap("b", 0, large, deadline());
      assert.ok(
        outcome.kind === "unknown" && /the disk is full/.test(outcome.because),
        JSON.stringify(outcome),
      );
      assert.equal((await store.get("a", deadline()))?.value, "1");
      assert.equal(await store.get("b", deadline()), null);
      assert.ok(events.every(({ kind }) => kind !== "lost"));
      await rm(ballast);
      assert.equal((await store.compareAndSwap("b", 0, large, deadline())).kind, "succeeded");
      stop();
      await store.close();
    });
  });
});

test("a file that is moved away takes no more writes, and is gone on with when it is back", async () => {
  await inFolder(async (path) => {
    const store = await open({ path, topology: "shop" });
    const { events, stop } = follow(store);
    assert.equal((await store.compareAndSwap("a", 0, "1", deadline())).kind, "succeeded");
    await rename(path, `${path}.away`);
    const outcome = await store.compareAndSwap("b", 0, "1", deadline());
    assert.ok(
      outcome.kind === "unknown" && /moved, removed or replaced/.test(outcome.because),
      JSON.stringify(outcome),
    );
    await assert.rejects(store.get("a", deadline()), failsWith("HOLDFAST_STORE_UNREACHABLE", true));
    await eventually("the watch is lost", () => events.at(-1)?.kind === "lost");
    await rename(`${path}.away`, path);
    await eventually("the watch goes on", () => events.at(-1)?.kind === "progress");
    assert.equal((await store.get("a", deadline()))?.value, "1");
    assert.equal((await store.compareAndSwap("b", 0, "1", deadline())).kind, "succeeded");
    stop();
    await store.close();
  });
});

test("a file that is replaced by another of the same topology is told as a snapshot", async () => {
  await inFolder(async (path) => {
    const other = await open({ path: `${path}.new`, topology: "shop" });
    for (const key of ["x", "y", "z"]) await other.compareAndSwap(key, 0, "1", deadline());
    await other.close();
    const store = await open({ path, topology: "shop" });
    const { events, stop } = follow(store);
    await store.compareAndSwap("a", 0, "1", deadline());
    await rename(`${path}.new`, path);
    await eventually("the watch tells the other file", () => {
      const snapshot = events.findLast(({ kind }) => kind === "snapshot");
      return snapshot?.kind === "snapshot" && snapshot.records.map(({ key }) => key).join() === "x,y,z";
    });
    stop();
    await store.close();
  });
});

test("eight that open a new file at once make one store", async () => {
  await inFolder(async (path) => {
    const stores = await Promise.all(Array.from({ length: 8 }, () => open({ path, topology: "shop" })));
    const outcomes = await Promise.all(stores.map((store) => store.compareAndSwap("a", 0, "1", deadline())));
    assert.equal(outcomes.filter(({ kind }) => kind === "succeeded").length, 1);
    assert.equal(outcomes.filter(({ kind }) => kind === "conflict").length, 7);
    for (const store of stores) await store.close();
  });
});

test("opening a locked file ends at its timeout and says who to look for", async () => {
  const place = await newSqlitePlace();
  await (await place.open()).close();
  const { over } = await place.lose(3000);
  const startedAt = performance.now();
  await assert.rejects(
    openSqliteStore({ path: place.path, topology: "test", openTimeoutMs: 200 }),
    failsWith("HOLDFAST_STORE_TIMEOUT", true),
  );
  assert.ok(performance.now() - startedAt < 2500);
  await (await place.open()).close();
  await over;
  await place.remove();
});

test("a lock lasts for what it was asked, and ends when its process dies", async () => {
  const place = await newSqlitePlace();
  const store = await place.open();
  await assert.rejects(lockStore(place.path, { forMs: 0 }), RangeError);
  const script = new URL("../../../src/adapters/sqlite/lock.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, place.path, "60000"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  await assert.rejects(store.get("a", deadline(100)), failsWith("HOLDFAST_STORE_TIMEOUT", true));
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(await store.get("a", deadline()), null);
  await store.close();
  await place.remove();
});

test("writes from a killed process are whole or not there, and the file stays sound", async () => {
  const place = await newSqlitePlace();
  const writer = `
    const { openSqliteStore } = await import(${JSON.stringify(new URL("../../../src/adapters/sqlite/sqlite.ts", import.meta.url).href)});
    const store = await openSqliteStore(${JSON.stringify(place.spec)});
    console.log("open");
    for (let n = 0; ; n += 1) {
      const record = await store.get("big", AbortSignal.timeout(5000));
      await store.compareAndSwap("big", record?.revision ?? 0, JSON.stringify(String(n % 10).repeat(200_000)), AbortSignal.timeout(5000));
    }`;
  for (let round = 0; round < 5; round += 1) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", writer], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    await new Promise((resolve) => setTimeout(resolve, 30 + 17 * round));
    child.kill("SIGKILL");
    await once(child, "exit");
    const store = await place.open();
    const value = JSON.parse((await store.get("big", deadline()))?.value ?? '""') as string;
    assert.equal(value, (value[0] ?? "").repeat(value.length));
    await store.close();
    using database = new DatabaseSync(place.path);
    assert.deepEqual({ ...database.prepare("PRAGMA integrity_check").get() }, { integrity_check: "ok" });
  }
  await place.remove();
});

test("the change log stays within its revisions", async () => {
  await inFolder(async (path) => {
    const store = await open({ path, topology: "shop", keepRevisions: 10 });
    let revision = 0;
    for (let n = 0; n < 50; n += 1) {
      const outcome = await store.compareAndSwap("a", revision, String(n), deadline());
      assert.ok(outcome.kind === "succeeded");
      revision = outcome.revision;
    }
    await store.close();
    using database = new DatabaseSync(path);
    const log = database.prepare("SELECT count(*) AS rows, sum(bytes) AS bytes FROM change").get();
    const kept = database.prepare("SELECT log_bytes FROM store").get();
    assert.equal(log?.rows, 10);
    assert.equal(kept?.log_bytes, log?.bytes);
  });
});

/** Stores opened by the running test: closed whatever becomes of it, since an open one keeps the process. */
const opened: Store[] = [];

async function open(options: SqliteStoreOptions): Promise<Store> {
  const store = await openSqliteStore(options);
  opened.push(store);
  return store;
}

async function inFolder(body: (path: string, folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-store-"));
  try {
    await body(join(folder, "control.db"), folder);
  } finally {
    for (const store of opened.splice(0)) await store.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Needs root and the right to mount. Where CI promises the parts, a missing one is a failure. */
async function withTmpfs(
  context: TestContext,
  folder: string,
  size: string,
  body: (mount: string) => Promise<void>,
): Promise<void> {
  const mount = join(folder, "mount");
  await mkdir(mount);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", mount], { stdio: "pipe" });
  } catch (error) {
    if (process.env.CI === "true") throw error;
    const because = `LEFT OUT: needs root and the right to mount a tmpfs (${(error as Error).message.trim()})`;
    console.error(`${context.name}: ${because}`);
    context.skip(because);
    return;
  }
  try {
    await body(mount);
  } finally {
    execFileSync("umount", ["-l", mount]);
  }
}

async function refusesToOpen(
  path: string,
  code: StoreErrorCode,
  message: RegExp,
  topology = "shop",
): Promise<void> {
  await assert.rejects(openSqliteStore({ path, topology, openTimeoutMs: 500 }), (error) => {
    assert.ok(error instanceof StoreError);
    assert.equal(error.code, code);
    assert.equal(error.retryable, false);
    assert.ok(error.message.includes(path), error.message);
    assert.match(error.message, message);
    return true;
  });
}

function failsWith(code: StoreErrorCode, retryable: boolean): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof StoreError);
    assert.deepEqual([error.code, error.retryable], [code, retryable], error.message);
    return true;
  };
}

function follow(store: Store): { readonly events: readonly WatchEvent[]; readonly stop: () => void } {
  const events: WatchEvent[] = [];
  const stop = new AbortController();
  void (async () => {
    for await (const event of store.watch("", 0, stop.signal)) events.push(event);
  })();
  return { events, stop: () => stop.abort() };
}
