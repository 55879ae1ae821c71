/** Members of a data store on this machine, for tests of the PostgreSQL adapter. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { findAccount } from "../../../src/adapters/postgres/account.ts";
import { discover } from "../../../src/adapters/postgres/binaries.ts";
import { type OpenRequest, openMember } from "../../../src/adapters/postgres/postgres.ts";
import { endTree, type TreePlace } from "../../../src/adapters/postgres/process-tree.ts";
import { findFreePorts } from "../../../src/adapters/system/free-port.ts";
import type { DataStore, Member } from "../../../src/core/model/topology.ts";
import type { Database, Upstream } from "../../../src/ports/database.ts";
import { type DatabaseClient, ok, within } from "../../contract/database.ts";

/** Folders of PostgreSQL's programs on this machine, each under test. */
export async function installations(): Promise<
  readonly { readonly name: string; readonly binDir: string }[]
> {
  const account = findAccount(undefined);
  const found: { name: string; binDir: string }[] = [];
  const system = await discover({ account }, { PATH: process.env.PATH });
  if (system.found)
    found.push({
      name: `PostgreSQL ${system.found.major} (${system.found.origin})`,
      binDir: system.found.binDir,
    });
  // With no system to be found, the package is.
  const embedded = await discover({ account, onlyEmbedded: true }, {});
  if (embedded.found && embedded.found.binDir !== system.found?.binDir)
    found.push({ name: `PostgreSQL ${embedded.found.major} (embedded)`, binDir: embedded.found.binDir });
  assert.ok(found.length > 0, system.advice);
  return found;
}

export const secrets = { admin: "admin's 'own'", replicator: "re:pli\\cator", app: "app" };

const clock = { now: () => performance.now(), wall: () => Date.now() };

export class Lab implements AsyncDisposable {
  readonly root: string;
  readonly store: DataStore;
  readonly #binDir: string;
  readonly #open: Database[] = [];

  private constructor(root: string, store: DataStore, binDir: string) {
    this.root = root;
    this.store = store;
    this.#binDir = binDir;
  }

  static async make(binDir: string, names: readonly string[] = ["pg-a", "pg-b", "pg-c"]): Promise<Lab> {
    const root = realpathSync(mkdtempSync(join(tmpdir(), "holdfast-pg-")));
    chmodSync(root, 0o755);
    const ports = await findFreePorts(names.length);
    const members: Member[] = names.map((name, index) => ({
      name,
      region: `region-${index}`,
      address: { host: "127.0.0.1", port: ports[index] as number },
      gate: { host: "127.0.0.1", port: 1 },
      dataDir: join(root, name, "data"),
      promotable: true,
    }));
    const store: DataStore = {
      name: "orders-db",
      engine: "postgresql",
      replication: "synchronous",
      acknowledgements: 1,
      strict: true,
      rpoMs: 0,
      jurisdictions: [],
      members,
    };
    return new Lab(root, store, binDir);
  }

  member(name: string): Member {
    return this.store.members.find((one) => one.name === name) as Member;
  }

  async open(name: string, change: Partial<OpenRequest> = {}): Promise<Database> {
    const database = await openMember({
      topology: "lab",
      store: this.store,
      member: this.member(name),
      secrets,
      clock,
      binDir: this.#binDir,
      // What is killed by design would leave its segments in /dev/shm.
      settings: { dynamic_shared_memory_type: "mmap" },
      ...change,
    });
    this.#open.push(database);
    return database;
  }

  upstream(name: string, epoch: number): Upstream {
    return { member: name, address: this.member(name).address, epoch };
  }

  /** A primary and its streaming standbys, in the order of their names, waiting for `acknowledgements` of them. */
  async cluster(acknowledgements: number): Promise<readonly Database[]> {
    const [first, ...rest] = await Promise.all(this.store.members.map((member) => this.open(member.name)));
    assert.ok(first);
    ok(await first.initialize({ epoch: 1 }, within(30_000)));
    ok(await first.promote({ epoch: 1, acknowledgements: 0, standbys: [] }, within(5000)));
    const upstream = this.upstream(this.store.members[0]?.name as string, 1);
    for (const each of rest) ok(await each.rejoin({ upstream, onProgress: () => undefined }, within(60_000)));
    const standbys = this.store.members.slice(1).map((member) => member.name);
    ok(await first.setQuorum({ epoch: 1, acknowledgements, standbys }, within(5000)));
    return [first, ...rest];
  }

  async client(name: string, user: "app" | "holdfast" = "app"): Promise<Client> {
    const { address } = this.member(name);
    const client = new Client({
      ...address,
      user,
      password: secrets.app,
      database: "orders",
      connectionTimeoutMillis: 3000,
    });
    client.on("error", () => undefined);
    await client.connect();
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#open.map((each) => each.close()));
    for (const { name: member } of this.store.members) await endTree(this.treePlace(member), within(5000));
    rmSync(this.root, { recursive: true, force: true });
  }

  /** A client of the application that writes keys into a table of its own making. */
  async writer(name: string): Promise<DatabaseClient> {
    const client = await this.client(name);
    // Asked for first, since making it would wait where nobody acknowledges.
    const { rows } = await client.query("select to_regclass('written') is not null as exists");
    if (!rows[0].exists) await client.query("create table if not exists written (key text primary key)");
    return {
      async write(key) {
        await client.query("insert into written values ($1)", [key]);
      },
      async keys() {
        const found = await client.query<{ key: string }>("select key from written");
        return new Set(found.rows.map((row) => row.key));
      },
      close: () => void client.end().catch(() => undefined),
    };
  }

  treePlace(name: string): TreePlace {
    const { dataDir } = this.member(name);
    return { dataDir, pidFile: join(dataDir, "postmaster.pid") };
  }

  leftovers(name: string): readonly string[] {
    const parent = join(this.member(name).dataDir, "..");
    return existsSync(parent) ? readdirSync(parent).sort() : [];
  }
}
