/** What a primary's commits wait for: nobody, a quorum of standbys, or (frozen) a name that nobody bears. */
import type { MemberFile, Quorum } from "./member-file.ts";
import { isAsleep } from "./process-tree.ts";
import type { Server } from "./server.ts";
import type { Session } from "./session.ts";
import { frozenNames, quorumNames, standbyName } from "./settings.ts";
import { until } from "./until.ts";

/**
 * How PostgreSQL 15 to 18 go about it (syncrep.c), and what follows:
 * C1. A committing backend waits if the shared flag "synchronous standbys are defined" is set. The checkpointer sets it
 *     when it gets round to its reload, which may be seconds in a checkpoint: it is confirmed by a probe that waits.
 * C2. A waiting backend is released by a WAL sender by that sender's own copy of the setting. `sync_priority` in
 *     pg_stat_replication is written when the sender has taken a new setting; at 0 it releases nobody.
 * C3. The priority does not tell `ANY 1 (a, b)` from `ANY 2 (a, b)`. So each change goes through frozen (all at 0).
 * C4. A backend that was released just before may still be on its way to tell its client. Such a one is awake: a release
 *     makes it runnable before the sender goes on. So each backend is waited for until it was seen asleep in the wait,
 *     or waiting for its client's next message, when all it had to say is said. One that is seen so neither in time is
 *     ended: a statement in progress cannot be told from a commit in progress.
 * C5. After a thaw the waiting are released by the next reply of a standby: a little WAL brings it about at once.
 */
export class Commits {
  readonly #server: Server;
  readonly #file: MemberFile;
  readonly #probe: Session;
  /** C1: known to be set. */
  #isDefined = false;

  constructor(server: Server, file: MemberFile) {
    this.#server = server;
    this.#file = file;
    this.#probe = server.openSession("holdfast-probe");
  }

  /** The server was started anew, or somebody else's. */
  forget(): void {
    this.#isDefined = false;
    this.#probe.drop();
  }

  /** Opens what `begin` needs, on a standby that is about to be promoted. Its own failure does no harm. */
  async warmUp(): Promise<void> {
    await this.#probe.query("set synchronous_commit = on", [], 2000).catch(() => undefined);
  }

  /** A primary that came up with `quorum` in its settings, and that nobody has attached to yet: resolves when it goes by it. */
  async begin(quorum: Quorum, signal: AbortSignal): Promise<void> {
    if (quorum.acknowledgements !== 0) await this.#confirmDefined(signal);
  }

  async names(): Promise<string> {
    const rows = await this.#server.query<{ names: string }>(
      "select current_setting('synchronous_standby_names') as names",
    );
    return rows[0]?.names ?? "";
  }

  /** No commit is acknowledged from when this resolves until `thaw`. */
  async freeze(signal: AbortSignal): Promise<void> {
    await this.hold(signal);
    await this.#settle(signal);
  }

  /** As `freeze`, for when there is no client yet. */
  async hold(signal: AbortSignal): Promise<void> {
    await this.#goBy(frozenNames, new Set(), signal);
    if (!this.#isDefined) await this.#confirmDefined(signal);
  }

  async thaw(signal: AbortSignal): Promise<void> {
    if ((await this.names()) !== frozenNames) return;
    await this.#take(this.#file.memory.quorum, signal);
  }

  /** Remembers what is wanted, and goes by it unless a freeze is in force. */
  async setQuorum(quorum: Quorum, signal: AbortSignal): Promise<void> {
    await this.#file.update({ quorum });
    const now = await this.names();
    if (now === frozenNames) return;
    if (now === quorumNames(quorum) && this.#isDefined === (now !== "")) return;
    if (quorum.acknowledgements !== 0) await this.hold(signal);
    await this.#take(quorum, signal);
  }

  /** As `setQuorum`, and ends a freeze. */
  async release(quorum: Quorum, signal: AbortSignal): Promise<void> {
    await this.#file.update({ quorum });
    await this.#take(quorum, signal);
  }

  /** From frozen (C3) or to nobody. */
  async #take(quorum: Quorum, signal: AbortSignal): Promise<void> {
    const names = quorumNames(quorum);
    if (names === "") this.#isDefined = false;
    else if (!this.#isDefined) await this.hold(signal);
    const bearers = names === "" ? [] : quorum.standbys.map((member) => standbyName(member, quorum.epoch));
    await this.#goBy(names, new Set(bearers), signal);
    await this.#server.query("select pg_logical_emit_message(true, 'holdfast', 'thaw')"); // C5
  }

  async #goBy(names: string, bearers: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    await this.#server.setRole({ conninfo: "", syncNames: names });
    await until(
      async () => {
        const rows = await this.#server.query<{
          names: string;
          name: string | null;
          priority: number | null;
        }>(
          `select current_setting('synchronous_standby_names') as names, r.application_name as name, r.sync_priority as priority
             from (select 1) as one left join pg_stat_replication r on r.state in ('catchup', 'streaming')`,
        );
        const all = rows.every(
          (row) =>
            row.names === names &&
            (row.name === null || bearers.has(row.name) === (row.priority as number) > 0),
        );
        return all ? true : undefined;
      },
      1,
      signal,
    );
  }

  /** C1: a commit of our own must be seen to wait. */
  async #confirmDefined(signal: AbortSignal): Promise<void> {
    await until(
      async () => {
        await this.#probe.query("set synchronous_commit = on", [], 2000);
        const pid = this.#probe.backendPid;
        let isOver = false;
        const commit = this.#probe
          .query("select pg_logical_emit_message(true, 'holdfast', 'frozen?')", [], 60_000)
          .catch(() => undefined)
          .finally(() => {
            isOver = true;
          });
        let waits = false;
        try {
          await until(
            async () => {
              const rows = await this.#server.query<{ waits: boolean }>(
                "select wait_event = 'SyncRep' as waits from pg_stat_activity where pid = $1",
                [pid],
              );
              waits = rows[0]?.waits === true;
              return waits || isOver ? true : undefined;
            },
            1,
            signal,
          );
        } finally {
          // Our own probe: that its wait ends in a success means nothing to anybody.
          await this.#server.query("select pg_cancel_backend($1)", [pid]).catch(() => undefined);
        }
        await commit;
        return waits ? true : undefined;
      },
      5,
      signal,
    );
    this.#isDefined = true;
  }

  /** C4 */
  async #settle(signal: AbortSignal): Promise<void> {
    // Several times what a released commit takes on a busy machine, a fraction of what a lease leaves for a freeze.
    let roundsLeft = 40;
    let suspects: ReadonlySet<number> | null = null;
    await until(
      async () => {
        const rows: readonly { pid: number; idle: boolean; waits: boolean }[] = await this.#server.query(
          `select pid, wait_event is not distinct from 'ClientRead' and state like 'idle%' as idle,
                  wait_event is not distinct from 'SyncRep' as waits
             from pg_stat_activity where backend_type = 'client backend' and usename is distinct from 'holdfast'`,
        );
        const unsettled = rows
          .filter((row) => !row.idle && !(row.waits && isAsleep(row.pid)))
          .map((row) => row.pid);
        // Who began after the first look began under the freeze.
        const before: ReadonlySet<number> = suspects ?? new Set(unsettled);
        suspects = new Set(unsettled.filter((pid) => before.has(pid)));
        if (suspects.size === 0) return true;
        roundsLeft -= 1;
        if (roundsLeft <= 0)
          for (const pid of suspects) await this.#server.query("select pg_terminate_backend($1)", [pid]);
        return undefined;
      },
      2,
      signal,
    );
  }

  close(): void {
    this.#probe.close();
  }
}
