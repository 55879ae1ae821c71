/** The port `database` for one PostgreSQL member on this host. */
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Epoch } from "../../core/model/id.ts";
import type { DataStore, Member } from "../../core/model/topology.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Database, MemberInspection, Outcome, Upstream } from "../../ports/database.ts";
import { findAccount, findBarrier } from "./account.ts";
import { findBinaries } from "./binaries.ts";
import { Commits } from "./commits.ts";
import { DatabaseError } from "./database-error.ts";
import { DiskTrouble, isIoError } from "./disk-trouble.ts";
import { Forerunners } from "./forerunners.ts";
import { initializeMember } from "./initialize.ts";
import { Inspector } from "./inspect.ts";
import { MemberFile } from "./member-file.ts";
import { promoteMember } from "./promote.ts";
import { followChecked, followKnown, rejoinMember } from "./rejoin.ts";
import { type Secrets, Server } from "./server.ts";
import { defaultDatabase, type Settings, staticConf } from "./settings.ts";
import { sealStandby, startSealedStandby } from "./standby.ts";
import { stopInOrder } from "./stop.ts";

export interface OpenRequest {
  /** Name of the topology: data of another one is refused. */
  readonly topology: string;
  readonly store: DataStore;
  readonly member: Member;
  readonly secrets: Secrets;
  readonly clock: Clock;
  /** The application's database and role; the role may make tables of its own in it. */
  readonly database?: string;
  readonly appRole?: string;
  /** Folder of PostgreSQL's programs; see `discover`. */
  readonly binDir?: string | undefined;
  /** As root: the user that PostgreSQL runs as. */
  readonly runAs?: string | undefined;
  /** Further PostgreSQL settings; those that the promises rest on are refused. */
  readonly settings?: Settings;
  /** Further CIDR ranges from which members replicate. */
  readonly replicationFrom?: readonly string[];
}

/** Whether `openMember` rejected for the member's disk: it may answer later. */
export function isDiskFailure(error: unknown): boolean {
  return error instanceof DatabaseError && error.code === "HOLDFAST_PG_DISK";
}

/** Rejects with `DatabaseError`. A server that runs already is adopted as it is. */
export async function openMember(request: OpenRequest): Promise<Database> {
  const { member, store, topology } = request;
  const account = findAccount(request.runAs);
  const barrier = findBarrier(member.dataDir, account);
  if (barrier !== null)
    throw new DatabaseError(
      "HOLDFAST_PG_FOLDER",
      `user ${account.name} cannot reach ${member.dataDir}: it may not enter ${barrier}; run "chmod o+x ${barrier}" or choose another data folder`,
    );
  const binaries = await findBinaries({ binDir: request.binDir, account });
  const file = await MemberFile.open({
    dataDir: member.dataDir,
    topology,
    store: store.name,
    member: member.name,
    account,
  }).catch((cause: unknown) => {
    if (!isIoError(cause)) throw cause;
    throw new DatabaseError(
      "HOLDFAST_PG_DISK",
      `the disk of ${member.name} does not answer (${cause instanceof Error ? cause.message : String(cause)}): look at it (dmesg, smartctl), mend or replace it`,
      { retryable: true, cause },
    );
  });
  const conf = {
    member,
    store,
    socketDir: socketFolder(file.stateDir, member),
    database: request.database ?? defaultDatabase,
    appRole: request.appRole ?? "app",
    replicationFrom: request.replicationFrom ?? [],
    overrides: request.settings ?? {},
  };
  // Refuses what may not be overridden, before anything is begun.
  staticConf(conf);
  const server = new Server({ binaries, account, conf, secrets: request.secrets, stateDir: file.stateDir });
  return new PostgresMember(server, file, request);
}

/** A socket's path may have 107 bytes at most, and a data folder may lie deep. */
function socketFolder(stateDir: string, member: Member): string {
  const plain = join(stateDir, "socket");
  if (plain.length + "/.s.PGSQL.65535.lock".length <= 100) return plain;
  const digest = createHash("sha256").update(member.dataDir).digest("hex").slice(0, 16);
  return join(tmpdir(), `holdfast-${digest}`);
}

/**
 * D1. One operation at a time; `inspect` and `end` wait for none.
 * D2. `end` aborts the operation under way, and a server is started only by an operation that is not aborted: so nothing
 *     runs when it resolves.
 * D3. `failed` means that it was not done; whatever is not certain is `unknown`.
 * D4. `freeze` does not wait for an operation that lets commits through: it aborts it.
 */
class PostgresMember implements Database {
  readonly #server: Server;
  readonly #file: MemberFile;
  readonly #commits: Commits;
  readonly #inspector: Inspector;
  readonly #forerunners: Forerunners;
  readonly #request: OpenRequest;
  readonly #disk: DiskTrouble;
  #queue: Promise<unknown> = Promise.resolve();
  #running: { readonly what: string; readonly control: AbortController } | null = null;
  #activity = "";

  constructor(server: Server, file: MemberFile, request: OpenRequest) {
    this.#server = server;
    this.#file = file;
    this.#request = request;
    this.#commits = new Commits(server, file);
    this.#inspector = new Inspector(server, file, () => request.clock.wall());
    this.#forerunners = new Forerunners(server);
    this.#disk = new DiskTrouble({
      member: request.member.name,
      stateDir: file.stateDir,
      account: server.place.account,
      now: () => request.clock.now(),
    });
    // Its agent comes back to a standby that has been streaming all the time.
    if (file.memory.role === "standby" && file.memory.epoch > 0)
      this.#forerunners.keep(file.memory.epoch, "");
  }

  inspect(timeoutMs: number): Promise<MemberInspection> {
    return this.#inspector.inspect(timeoutMs, this.#activity);
  }

  onLost(tell: () => void): void {
    this.#server.onLost = tell;
  }

  initialize(request: Parameters<Database["initialize"]>[0], signal: AbortSignal) {
    return this.#operate("initialize", signal, async (both) => {
      if (this.#file.memory.unfinished === "initialize") await this.#server.end(both);
      else if (this.#server.hasData())
        throw this.#stateError("initialize it: it has data already; rejoin it");
      this.#commits.forget();
      return { incarnation: await initializeMember(this.#server, this.#file, request.epoch, both) };
    });
  }

  rejoin(request: Parameters<Database["rejoin"]>[0], signal: AbortSignal) {
    const onProgress = (text: string) => {
      this.#activity = text;
      request.onProgress(text);
    };
    return this.#operate("rejoin", signal, async (both) => {
      this.#activity = `rejoins ${request.upstream.member}`;
      try {
        const { upstream } = request;
        const { clock, store } = this.#request;
        const maxBytesPerSecond = (store.seedMegabytesPerSecondMax ?? 0) * 1e6;
        const deps = { server: this.#server, file: this.#file, wall: () => clock.wall() };
        const { anew = false } = request;
        const rejoined = await this.#disk.guard(() =>
          rejoinMember(deps, { upstream, anew, maxBytesPerSecond, onProgress }, both),
        );
        this.#forerunners.keep(upstream.epoch, upstream.member);
        return rejoined;
      } finally {
        this.#activity = "";
      }
    });
  }

  startSealed(request: { readonly basis: number }, signal: AbortSignal) {
    return this.#operate("startSealed", signal, async (both) => {
      this.#requireData("start it");
      this.#commits.forget();
      if (this.#server.hasOrphans()) await this.#server.end(both);
      const position = this.#server.hasProcesses()
        ? await sealStandby(this.#server, this.#file, request.basis, both)
        : await this.#disk.guard(() => startSealedStandby(this.#server, this.#file, request.basis, both));
      return { position };
    });
  }

  seal(request: { readonly basis: number }, signal: AbortSignal) {
    return this.#operate("seal", signal, async (both) => {
      this.#requireRunning("seal it");
      return { position: await sealStandby(this.#server, this.#file, request.basis, both) };
    });
  }

  follow(request: Parameters<Database["follow"]>[0], signal: AbortSignal) {
    return this.#operate("follow", signal, async (both) => {
      this.#requireRunning("let it follow");
      const { upstream, promotedAt, fork } = request;
      const forerunner = promotedAt === null ? null : this.#forerunners.take(upstream);
      try {
        if (promotedAt === null) await followChecked(this.#server, this.#file, upstream, both);
        else await followKnown(this.#server, this.#file, upstream, { promotedAt, fork, forerunner }, both);
      } catch (error) {
        forerunner?.close();
        throw error;
      }
      this.#forerunners.keep(upstream.epoch, upstream.member);
      return {};
    });
  }

  promote(request: Parameters<Database["promote"]>[0], signal: AbortSignal) {
    return this.#operate("promote", signal, (both) => {
      this.#requireRunning("promote it");
      this.#forerunners.close();
      return promoteMember(this.#server, this.#file, this.#commits, request, both);
    });
  }

  setQuorum(request: Parameters<Database["setQuorum"]>[0], signal: AbortSignal) {
    return this.#operate("setQuorum", signal, async (both) => {
      this.#requireRunning("set what its commits wait for");
      const { memory } = this.#file;
      if (memory.role !== "primary" || memory.epoch !== request.epoch)
        throw new DatabaseError(
          "HOLDFAST_PG_EPOCH",
          `cannot set what commits wait for in epoch ${request.epoch}: ${memory.member} is ${memory.role} of epoch ${memory.epoch}`,
        );
      const { epoch, acknowledgements, standbys } = request;
      await this.#commits.setQuorum({ epoch, acknowledgements, standbys }, both);
      return {};
    });
  }

  expect(upstream: Upstream): void {
    // In vain it costs what a standby costs that nobody has prepared.
    void this.#forerunners.expect(upstream).catch(() => undefined);
  }

  remember({ epoch, publication }: { readonly epoch: Epoch; readonly publication: number }): Promise<void> {
    return this.#file.remember(epoch, publication);
  }

  freeze(signal: AbortSignal) {
    // D4
    if (this.#running !== null && ["setQuorum", "thaw"].includes(this.#running.what))
      this.#running.control.abort(new Error("a freeze came in between"));
    return this.#operate("freeze", signal, async (both) => {
      // Without a process there is nobody to acknowledge, and a standby has nothing to.
      if (this.#server.hasProcesses() && this.#file.memory.role === "primary")
        await this.#commits.freeze(both);
      return {};
    });
  }

  thaw(signal: AbortSignal) {
    return this.#operate("thaw", signal, async (both) => {
      this.#requireRunning("thaw it");
      if (this.#file.memory.role === "primary") await this.#commits.thaw(both);
      return {};
    });
  }

  /** Beside the queue (D1): it changes nothing, and may take seconds. */
  async prepareStop(signal: AbortSignal): Promise<Outcome<object>> {
    try {
      this.#requireRunning("prepare its stop");
      await this.#server.checkpoint(signal);
      return { kind: "succeeded" };
    } catch (error) {
      return {
        kind: "failed",
        because: `prepareStop: ${error instanceof Error ? error.message : String(error)}`,
      };
    }
  }

  stopInOrder(signal: AbortSignal) {
    return this.#operate("stopInOrder", signal, async (both) => {
      this.#requireData("stop it");
      return { position: await stopInOrder(this.#server, this.#file, both) };
    });
  }

  async end(signal: AbortSignal): Promise<Outcome<object>> {
    this.#running?.control.abort(new Error("the member is being ended"));
    this.#forerunners.close();
    try {
      await this.#server.end(signal);
      this.#commits.forget();
      return { kind: "succeeded" };
    } catch (error) {
      return { kind: "unknown", because: error instanceof Error ? error.message : String(error) };
    }
  }

  async close(): Promise<void> {
    this.#running?.control.abort(new Error("the agent lets go of the member"));
    await this.#queue;
    this.#forerunners.close();
    this.#commits.close();
    this.#server.close();
  }

  /** D1, D2, D3 */
  #operate<T extends object>(
    what: string,
    signal: AbortSignal,
    act: (signal: AbortSignal) => Promise<T>,
  ): Promise<Outcome<T>> {
    const own = new AbortController();
    const both = AbortSignal.any([signal, own.signal]);
    const done = this.#queue.then(async (): Promise<Outcome<T>> => {
      this.#running = { what, control: own };
      try {
        both.throwIfAborted();
        return { kind: "succeeded", ...(await act(both)) };
      } catch (error) {
        const because = `${what}: ${error instanceof Error ? error.message : String(error)}`;
        return error instanceof DatabaseError && !both.aborted
          ? { kind: "failed", because }
          : { kind: "unknown", because };
      } finally {
        this.#running = null;
      }
    });
    this.#queue = done;
    return done;
  }

  #requireData(what: string): void {
    if (!this.#server.hasData() || this.#file.memory.unfinished !== "")
      throw this.#stateError(`${what}: it has no whole data; rejoin it`);
  }

  #requireRunning(what: string): void {
    if (!this.#server.hasProcesses())
      throw this.#stateError(`${what}: it does not run; start it sealed or rejoin it`);
  }

  #stateError(text: string): DatabaseError {
    return new DatabaseError("HOLDFAST_PG_STATE", `${this.#file.memory.member}: cannot ${text}`);
  }
}
