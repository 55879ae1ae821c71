/** One member's PostgreSQL server: its files, its start and stop, its configuration, the agent's sessions with it. */
import type { ChildProcess } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { chmod, rm } from "node:fs/promises";
import { join } from "node:path";
import type { QueryResultRow } from "pg";
import type { Account } from "./account.ts";
import type { Binaries } from "./binaries.ts";
import { DatabaseError } from "./database-error.ts";
import { makePrivateFolder, writeDurable, writeUnsynced } from "./durable-file.ts";
import { foundByHost } from "./found.ts";
import { findPostmaster, launch, readLogTail, treePlace } from "./postmaster.ts";
import { endTree, findTree, isLeft } from "./process-tree.ts";
import { Session } from "./session.ts";
import { type ConfPlace, hbaConf, type RoleSettings, roleConf, roleFile, staticConf } from "./settings.ts";
import { until } from "./until.ts";

export interface Secrets {
  /** Of the superuser `holdfast`, which only agents bear. */
  readonly admin: string;
  /** Of `replicator`, the same on all members. */
  readonly replicator: string;
  /** Of the application's role. */
  readonly app: string;
}

export interface ServerPlace {
  readonly binaries: Binaries;
  readonly account: Account;
  readonly conf: ConfPlace;
  readonly secrets: Secrets;
  readonly stateDir: string;
}

/** One administrative statement; a healthy server answers in a millisecond. */
const statementTimeoutMs = 2000;

export class Server {
  readonly place: ServerPlace;
  readonly dataDir: string;
  readonly logFile: string;
  readonly passFile: string;
  /** For operations. */
  readonly #session: Session;
  /** For `inspect`, which must not wait for an operation. */
  readonly #watch: Session;
  #child: ChildProcess | null = null;
  /** Called when the server has ended the connection that `inspect` asks over. */
  onLost: () => void = () => undefined;

  constructor(place: ServerPlace) {
    this.place = place;
    this.dataDir = place.conf.member.dataDir;
    this.logFile = join(place.stateDir, "postgresql.log");
    this.passFile = join(place.stateDir, "pgpass");
    this.#session = this.openSession("holdfast-agent");
    this.#watch = this.openSession("holdfast-watch", place.conf.database, "", () => this.onLost());
  }

  openSession(name: string, database = this.place.conf.database, options = "", onLost?: () => void): Session {
    const { conf, secrets } = this.place;
    const config = {
      host: conf.socketDir,
      port: conf.member.address.port,
      user: "holdfast",
      password: secrets.admin,
      database,
      application_name: name,
      // What the agent itself commits never waits for a standby.
      options: `-c synchronous_commit=local -c statement_timeout=0 -c lock_timeout=2000 ${options}`,
    };
    return new Session(config, onLost);
  }

  query<R extends QueryResultRow>(
    text: string,
    values: readonly unknown[] = [],
    timeoutMs = statementTimeoutMs,
  ) {
    return this.#session.query<R>(text, values, timeoutMs);
  }

  watch<R extends QueryResultRow>(text: string, timeoutMs: number) {
    return this.#watch.query<R>(text, [], timeoutMs);
  }

  /** What cannot be looked at is not absent: who took it for that would write over it. */
  hasData(): boolean {
    try {
      return statSync(join(this.dataDir, "PG_VERSION"), { throwIfNoEntry: false }) !== undefined;
    } catch {
      return true;
    }
  }

  hasProcesses(): boolean {
    return findPostmaster(this.dataDir) !== null || findTree(treePlace(this.dataDir)).length > 0;
  }

  /** Processes whose postmaster has died: no other can be started beside them. */
  hasOrphans(): boolean {
    const tree = findTree(treePlace(this.dataDir));
    return tree.length > 0 && !tree.some((each) => each.isPostmaster);
  }

  /** Everything that PostgreSQL reads at its start, rewritten: a backup or a rewind brings the upstream's along. */
  async prepare(request: RoleSettings & { readonly role: "standby" | "primary" }): Promise<void> {
    const { account, conf, secrets } = this.place;
    const { dataDir } = this;
    await makePrivateFolder(conf.socketDir, account);
    const found = await foundByHost(conf.store.members.map(({ address }) => address.host));
    const escaped = (text: string) => text.replace(/[:\\]/g, "\\$&");
    await writeDurable(this.passFile, `*:*:*:replicator:${escaped(secrets.replicator)}\n`, account);
    await writeDurable(join(dataDir, roleFile), roleConf(request), account);
    await writeDurable(join(dataDir, "postgresql.conf"), staticConf(conf, found), account);
    await writeDurable(join(dataDir, "pg_hba.conf"), hbaConf(conf, found), account);
    await writeDurable(join(dataDir, "pg_ident.conf"), "", account);
    // Read after ours, it would win over it.
    await writeDurable(join(dataDir, "postgresql.auto.conf"), "", account);
    const standbySignal = join(dataDir, "standby.signal");
    if (request.role === "standby") await writeDurable(standbySignal, "", account);
    else await rm(standbySignal, { force: true });
    await rm(join(dataDir, "recovery.signal"), { force: true });
    await rm(join(dataDir, "promote"), { force: true });
    await chmod(dataDir, 0o700);
  }

  /** Starts what `prepare` has prepared; resolves when it takes connections. */
  async start(signal: AbortSignal): Promise<void> {
    const { binaries, account, conf } = this.place;
    const { dataDir, logFile } = this;
    signal.throwIfAborted();
    this.#session.drop();
    this.#watch.drop();
    const child = launch({ binaries, account, dataDir, logFile });
    this.#child = child;
    await until(
      () => {
        if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
          const tail = readLogTail(logFile);
          const busy = /Address already in use|already running on port|could not create listen socket/.test(
            tail,
          );
          const advice = busy
            ? `; port ${conf.member.address.port} is taken: end what listens there or give the member another`
            : "";
          throw new DatabaseError(
            "HOLDFAST_PG_START",
            `PostgreSQL of ${conf.member.name} did not start (${child.signalCode ?? `exit ${child.exitCode}`}): ${tail || `see ${logFile}`}${advice}`,
            { retryable: true },
          );
        }
        return this.readStatus() === "ready" ? true : undefined;
      },
      3,
      signal,
    );
  }

  /** What the postmaster says of itself in its file: `starting`, `ready`, `standby`, `stopping`; empty: nothing yet. */
  readStatus(): string {
    try {
      return readFileSync(join(this.dataDir, "postmaster.pid"), "utf8").split("\n")[7]?.trim() ?? "";
    } catch {
      return "";
    }
  }

  /**
   * Writes the role file and tells the running processes; whether they go by it is for the caller to see. It is not synced:
   * each start writes it anew (`prepare`), and a failover waits for it twice.
   */
  async setRole(role: RoleSettings, alsoTell: readonly number[] = []): Promise<void> {
    await writeUnsynced(join(this.dataDir, roleFile), roleConf(role), this.place.account);
    const postmaster = findPostmaster(this.dataDir);
    if (postmaster === null)
      throw new DatabaseError(
        "HOLDFAST_PG_STATE",
        `${this.place.conf.member.name} has no running server to reconfigure`,
      );
    process.kill(postmaster.pid, "SIGHUP");
    // Directly, so that the signal is certainly there when this returns and not when the postmaster gets round to it.
    for (const pid of alsoTell) {
      try {
        process.kill(pid, "SIGHUP");
      } catch (error) {
        // A WAL receiver comes and goes; whoever is gone goes by nothing.
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
    }
  }

  /** On a session of its own: it may take seconds, and a freeze must not wait for it. */
  async checkpoint(signal: AbortSignal): Promise<void> {
    const session = this.openSession("holdfast-checkpoint");
    const abort = () => session.drop();
    signal.addEventListener("abort", abort);
    try {
      signal.throwIfAborted();
      await session.query("checkpoint", [], 120_000);
    } finally {
      signal.removeEventListener("abort", abort);
      session.close();
    }
  }

  /** Fast shutdown; resolves when no process is left. */
  async stopFast(signal: AbortSignal): Promise<void> {
    const postmaster = findPostmaster(this.dataDir);
    if (postmaster !== null) {
      process.kill(postmaster.pid, "SIGINT");
      await until(() => (isLeft(postmaster) ? undefined : true), 1, signal);
    }
    // Its children are gone before it; what is left now is an orphan.
    await this.end(signal);
  }

  async end(signal: AbortSignal): Promise<number> {
    const { ended } = await endTree(treePlace(this.dataDir), signal);
    this.#session.drop();
    this.#watch.drop();
    this.#child = null;
    return ended;
  }

  /** Only the agent's own ends: the server goes on. */
  close(): void {
    this.#session.close();
    this.#watch.close();
    this.#child?.removeAllListeners();
  }
}
