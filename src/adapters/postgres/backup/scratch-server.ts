/** A PostgreSQL of its own on restored data: nobody reaches it but over a private socket, and it reaches nobody. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Account } from "../account.ts";
import type { Binaries } from "../binaries.ts";
import { makePrivateFolder, writeDurable } from "../durable-file.ts";
import { findPostmaster, launch, readLogTail, treePlace } from "../postmaster.ts";
import { endTree, isLeft } from "../process-tree.ts";
import { Session } from "../session.ts";
import { until } from "../until.ts";

export interface ScratchPlace {
  /** Whatever is in it goes with the test. */
  readonly place: string;
  readonly dataDir: string;
  readonly binaries: Binaries;
  readonly account: Account;
}

/** Names of its socket alone: it listens on no port. */
const port = 5432;

export class ScratchServer implements AsyncDisposable {
  readonly #place: ScratchPlace;
  readonly #socketDir: string;
  readonly #logFile: string;

  private constructor(place: ScratchPlace, socketDir: string) {
    this.#place = place;
    this.#socketDir = socketDir;
    this.#logFile = join(socketDir, "postgresql.log");
  }

  /** Its configuration written in the place of the member's: nothing of that is for a server beside the real ones. */
  static async prepare(place: ScratchPlace): Promise<ScratchServer> {
    const { dataDir, account } = place;
    // A socket's path may have 107 bytes at most, and the data may lie deep.
    const socketDir =
      place.place.length < 70
        ? join(place.place, "socket")
        : await mkdtemp(join(tmpdir(), "holdfast-restore-"));
    await makePrivateFolder(socketDir, account);
    const prepared = /^max_prepared_transactions = '(\d+)'/m.exec(
      await readFile(join(dataDir, "postgresql.conf"), "utf8"),
    )?.[1];
    const settings = {
      listen_addresses: "",
      port: String(port),
      unix_socket_directories: socketDir,
      unix_socket_permissions: "0700",
      // Prepared transactions of the backup are recovered, and need their places.
      max_prepared_transactions: prepared ?? "0",
      // What the data asks for must not happen twice: subscriptions would take what their publishers keep for the real
      // ones, and jobs of preloaded libraries (none are loaded) would run.
      max_logical_replication_workers: "0",
      autovacuum: "off",
      ...(process.platform === "linux" ? { recovery_init_sync_method: "syncfs" } : {}),
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
    await writeDurable(join(dataDir, "postgresql.conf"), lines.join(""), account);
    await writeDurable(join(dataDir, "postgresql.auto.conf"), "", account);
    await writeDurable(join(dataDir, "pg_hba.conf"), "local all all trust\n", account);
    await writeDurable(join(dataDir, "pg_ident.conf"), "", account);
    // It recovers what the backup holds, and follows nobody.
    for (const name of ["standby.signal", "recovery.signal"]) await rm(join(dataDir, name), { force: true });
    return new ScratchServer(place, socketDir);
  }

  /** Why it ended; empty when it takes connections, which it does once it is consistent. */
  async start(signal: AbortSignal): Promise<string> {
    const { dataDir, binaries, account } = this.#place;
    const child = launch({ binaries, account, dataDir, logFile: this.#logFile });
    const statusFile = join(dataDir, "postmaster.pid");
    return until(
      async () => {
        if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined)
          return readLogTail(this.#logFile) || `it ended (${child.signalCode ?? `exit ${child.exitCode}`})`;
        const status = await readFile(statusFile, "utf8").catch(() => "");
        return status.split("\n")[7]?.trim() === "ready" ? "" : undefined;
      },
      20,
      signal,
    );
  }

  /** On a session of its own. */
  async ask<Column extends string>(
    database: string,
    text: string,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<readonly Record<Column, string>[]> {
    const session = new Session({ host: this.#socketDir, port, user: "holdfast", database });
    const drop = () => session.drop();
    signal.addEventListener("abort", drop);
    try {
      signal.throwIfAborted();
      return await session.query<Record<Column, string>>(text, [], timeoutMs);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener("abort", drop);
      session.close();
    }
  }

  /** In order, so that every page is on disk as it should be. */
  async stop(signal: AbortSignal): Promise<void> {
    const postmaster = findPostmaster(this.#place.dataDir);
    if (postmaster === null) return;
    process.kill(postmaster.pid, "SIGINT");
    await until(() => (isLeft(postmaster) ? undefined : true), 10, signal);
  }

  /** Nothing of it is left but the data. */
  async [Symbol.asyncDispose](): Promise<void> {
    await endTree(treePlace(this.#place.dataDir), AbortSignal.timeout(10_000));
    await rm(this.#socketDir, { recursive: true, force: true });
  }
}
