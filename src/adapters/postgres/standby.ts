/** A standby stops receiving, provably, or receives from an upstream, provably. */
import { existsSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Epoch } from "../../core/model/id.ts";
import { type Lsn, parseLsn } from "../../core/model/lsn.ts";
import type { TimelineFork } from "../../core/model/record.ts";
import type { Upstream } from "../../ports/database.ts";
import { DatabaseError } from "./database-error.ts";
import { syncFolder, writeDurable } from "./durable-file.ts";
import type { Forerunner } from "./forerunner.ts";
import { foundAddresses } from "./found.ts";
import type { MemberFile } from "./member-file.ts";
import { forkText, historyFileName, readOwnHistory, unwrittenHistories } from "./own-history.ts";
import { readLog } from "./postmaster.ts";
import type { Server } from "./server.ts";
import { conninfo, frozenNames, standbyName } from "./settings.ts";
import { until } from "./until.ts";

interface StandbyRow {
  standby: boolean;
  startup: number | null;
  startup_waits: string | null;
  receiver: number | null;
  receiver_status: string | null;
  receiver_conninfo: string | null;
  receiver_timeline: number | null;
  received: string;
  replayed: string;
}

async function look(server: Server): Promise<StandbyRow> {
  const rows = await server.query<StandbyRow>(
    `select pg_is_in_recovery() as standby, s.pid as startup, s.wait_event as startup_waits,
            a.pid as receiver, r.status as receiver_status, r.conninfo as receiver_conninfo, r.received_tli as receiver_timeline,
            coalesce(pg_last_wal_receive_lsn(), '0/0')::text as received,
            coalesce(pg_last_wal_replay_lsn(), '0/0')::text as replayed
       from (select 1) as one
       left join pg_stat_activity s on s.backend_type = 'startup'
       left join pg_stat_activity a on a.backend_type = 'walreceiver'
       left join pg_stat_wal_receiver r on true`,
  );
  return rows[0] as StandbyRow;
}

function requireStandby(
  row: StandbyRow,
  server: Server,
  what: string,
): asserts row is StandbyRow & { startup: number } {
  if (row.standby && row.startup !== null) return;
  throw new DatabaseError(
    "HOLDFAST_PG_STATE",
    `cannot ${what} ${server.place.conf.member.name}: it is a primary; end it first`,
  );
}

/** The greater of received and replayed: after a restart the first is null until it receives again. */
function positionOf(row: StandbyRow): Lsn {
  return Math.max(parseLsn(row.received), parseLsn(row.replayed));
}

/** Where its whole records end. */
export async function replayedBy(server: Server): Promise<Lsn> {
  return parseLsn((await look(server)).replayed);
}

export async function positionOfStandby(server: Server): Promise<Lsn> {
  return positionOf(await look(server));
}

/** Where the WAL of a running standby ends, which follows another from now on. */
export async function endOfStandby(server: Server, file: MemberFile, signal: AbortSignal): Promise<Lsn> {
  const row = await look(server);
  requireStandby(row, server, "compare the history of");
  const end = positionOf(row);
  // Only of one that receives no more is it certain what it has nothing of.
  return unwrittenHistories(server.dataDir, end).length === 0
    ? end
    : await sealStandby(server, file, 0, signal);
}

/**
 * Receives from nobody. That the WAL receiver is gone proves nothing when its primary is gone too: the startup process
 * would start it again. So that process is signalled itself, and made to confirm a pause, which it does only after it
 * has taken its settings anew.
 */
export async function sealStandby(
  server: Server,
  file: MemberFile,
  basis: number,
  signal: AbortSignal,
): Promise<Lsn> {
  const before = await look(server);
  requireStandby(before, server, "seal");
  const told = before.receiver === null ? [before.startup] : [before.startup, before.receiver];
  await server.setRole({ conninfo: "", syncNames: frozenNames }, told);
  await server.query("select pg_wal_replay_pause()");
  try {
    await until(
      async () => {
        const rows = await server.query<{ paused: boolean }>(
          "select pg_get_wal_replay_pause_state() = 'paused' as paused",
        );
        return rows[0]?.paused === true ? true : undefined;
      },
      1,
      signal,
    );
  } finally {
    await server.query("select pg_wal_replay_resume()");
  }
  // The startup process starts no other from here on. It ends the receiver itself; one that it lost sight of, we end.
  let patience = 100;
  const position = await until(
    async () => {
      const row = await look(server);
      requireStandby(row, server, "seal");
      if (row.receiver === null && row.receiver_status === null) return positionOf(row);
      patience -= 1;
      if (patience % 50 === 0 && row.receiver !== null)
        await server.query("select pg_terminate_backend($1)", [row.receiver]);
      return undefined;
    },
    1,
    signal,
  );
  const end = await forgetUnwritten(server, position, signal);
  await file.update({ epoch: 0, sealedBasis: basis, sealedPosition: end });
  return end;
}

/**
 * Of one that receives from nobody; resolves with where it ends. A timeline that it has heard of, and whose primary was gone
 * before a byte of it came, stays the goal of recovery: it streams no other of that number that left earlier, and promoted it
 * writes a history in which it was on it. So the file goes, and a start lets the server forget.
 */
async function forgetUnwritten(server: Server, end: Lsn, signal: AbortSignal): Promise<Lsn> {
  const files = unwrittenHistories(server.dataDir, end);
  if (files.length === 0) return end;
  await server.stopFast(signal);
  for (const path of files) await rm(path, { force: true });
  await syncFolder(join(server.dataDir, "pg_wal"));
  return await startAlone(server, signal);
}

/** Starts as a standby that receives from nobody; resolves when it has replayed all WAL that it has. */
export async function startSealedStandby(
  server: Server,
  file: MemberFile,
  basis: number,
  signal: AbortSignal,
): Promise<Lsn> {
  await file.update({ role: "standby", epoch: 0, sealedBasis: 0, sealedPosition: 0 });
  const position = await forgetUnwritten(server, await startAlone(server, signal), signal);
  await file.update({ sealedBasis: basis, sealedPosition: position });
  return position;
}

/** Resolves with the position when it has replayed all WAL that it has. */
async function startAlone(server: Server, signal: AbortSignal): Promise<Lsn> {
  await server.prepare({ role: "standby", conninfo: "", syncNames: frozenNames });
  await server.start(signal);
  return await until(
    async () => {
      const row = await look(server);
      requireStandby(row, server, "start sealed");
      // Only a startup process that has found no further record in any place waits so.
      const isAtEnd = ["RecoveryRetrieveRetryInterval", "RecoveryWalStream", "RecoveryWalAll"].includes(
        row.startup_waits ?? "",
      );
      return isAtEnd ? positionOf(row) : undefined;
    },
    3,
    signal,
  );
}

/**
 * Where the upstream was when it was asked. A receiver streams each older timeline first: until it is here, it is a copy
 * in the making, and who is sealed or promoted before then lacks what others have.
 */
export interface Goal {
  /** Null: whichever it is on when it is there; then `position` is that of the promotion, and nobody's own is beyond it. */
  readonly timeline: number | null;
  readonly position: Lsn;
}

/**
 * Lets a sealed standby know of the timeline that it is to follow, so that it asks for that from the first. Else it asks for
 * the one it is on, gets the segment from its beginning, is told that this timeline has ended, and begins again: 0.65 s where
 * the upstream is 40 ms away. In vain it costs nothing but that: recovery itself judges what it finds.
 */
export async function takeTimeline(server: Server, fork: TimelineFork, signal: AbortSignal): Promise<void> {
  const { dataDir, logFile } = server;
  const row = await look(server);
  const file = join(dataDir, "pg_wal", historyFileName(fork.timeline));
  if (!row.standby || row.startup === null || row.receiver !== null || existsSync(file)) return;
  const isOnParent = readOwnHistory(dataDir, positionOf(row)).at(-1)?.timeline === fork.parent;
  const text = forkText(dataDir, fork);
  if (!isOnParent || text === null || fork.at < parseLsn(row.replayed)) return;
  const saidBefore = statSync(logFile).size;
  await writeDurable(file, text, server.place.account);
  // It looks when it wakes with nothing to read.
  process.kill(row.startup, "SIGHUP");
  // Taken, or refused for one of two reasons; its server speaks English (LC_ALL).
  const judged = new RegExp(
    `new (target timeline is ${fork.timeline}\\b|timeline ${fork.timeline} (is not a child|forked off))`,
  );
  for (let look = 0; look < looksForTimeline; look++) {
    signal.throwIfAborted();
    if (judged.test(readLog(logFile, () => saidBefore))) return;
    await pause(2);
  }
}

/** A quarter of a second: it takes one or two looks, and on a busy machine longer. */
const looksForTimeline = 125;

/**
 * Receives from `upstream`; resolves when it streams. That their histories agree is for the caller to know. `forerunner`: one
 * that has run ahead to it.
 */
export async function followUpstream(
  server: Server,
  file: MemberFile,
  upstream: Upstream,
  goal: Goal,
  signal: AbortSignal,
  forerunner: Forerunner | null = null,
): Promise<void> {
  const row = await look(server);
  requireStandby(row, server, "attach");
  if (goal.timeline === null && goal.position < positionOf(row))
    throw new DatabaseError(
      "HOLDFAST_PG_DIVERGED",
      `${server.place.conf.member.name} cannot follow ${upstream.member} unseen: its own WAL ends beyond the promotion; compare the histories`,
    );
  // Side by side: a seal that outlives this on disk is worth nothing, since its basis is not that of the new primary.
  const { account, conf } = server.place;
  const [first = null, found] = await Promise.all([
    forerunner?.offer(conf.socketDir, account),
    foundAddresses(upstream.address.host),
  ]);
  const info = conninfo(conf, upstream, server.passFile, { first, found });
  await Promise.all([
    file.update(following(file, upstream)),
    server.setRole({ conninfo: info, syncNames: frozenNames, attaches: true }, [row.startup]),
  ]);
  await awaitStreaming(server, upstream.epoch, goal, signal);
  await server.setRole({ conninfo: info, syncNames: frozenNames });
}

/** Who has followed an epoch never again takes part in an older one, also when the store is restored from before it. */
function following(file: MemberFile, { epoch }: Upstream) {
  const floor = Math.max(file.memory.floor, epoch);
  return { role: "standby", epoch, floor, sealedBasis: 0, sealedPosition: 0 } as const;
}

/** Starts what can only be whole with the upstream's WAL: a fresh backup, or a rewound folder. */
export async function startFollowing(
  server: Server,
  file: MemberFile,
  upstream: Upstream,
  goal: Goal,
  signal: AbortSignal,
): Promise<void> {
  await file.update(following(file, upstream));
  const found = await foundAddresses(upstream.address.host);
  const info = conninfo(server.place.conf, upstream, server.passFile, { first: null, found });
  await server.prepare({ role: "standby", conninfo: info, syncNames: frozenNames, attaches: true });
  await server.start(signal);
  await awaitStreaming(server, upstream.epoch, goal, signal);
  await server.setRole({ conninfo: info, syncNames: frozenNames });
}

async function awaitStreaming(server: Server, epoch: Epoch, goal: Goal, signal: AbortSignal): Promise<void> {
  const name = standbyName(server.place.conf.member.name, epoch);
  await until(
    async () => {
      const row = await look(server);
      // As libpq renders it; as we wrote it, in quotes, after a receiver has changed its timeline.
      const isOurs = new RegExp(`application_name='?${name}'?(\\s|$)`).test(row.receiver_conninfo ?? "");
      const isThere =
        (goal.timeline === null || row.receiver_timeline === goal.timeline) &&
        goal.position <= positionOf(row);
      return isOurs && isThere && row.receiver_status === "streaming" ? true : undefined;
    },
    // The primary counts it as soon as it streams; only the report of it waits for this look, which is not a cheap one.
    10,
    signal,
  );
}
