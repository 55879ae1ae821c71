/** Asks an upstream whether it leads the epoch, and whether a member's history is a part of its own. */
import { join } from "node:path";
import { formatLsn, type Lsn } from "../../core/model/lsn.ts";
import type { Upstream } from "../../ports/database.ts";
import { readControlFile } from "./control-file.ts";
import { DatabaseError } from "./database-error.ts";
import { compareHistories, cutHistory, parseHistory, type Stretch } from "./history.ts";
import { readOwnHistory } from "./own-history.ts";
import { ReplicationConnection } from "./replication.ts";
import type { Server } from "./server.ts";
import type { Goal } from "./standby.ts";
import { readSegment, segmentSize } from "./wal-files.ts";

export type Relation =
  /** It can go on from where it is. */
  | { readonly kind: "joins"; readonly goal: Goal }
  /** It could, but the upstream has no longer the WAL in between. */
  | { readonly kind: "too-old"; readonly because: string }
  | {
      readonly kind: "diverged";
      readonly forkedAt: Lsn;
      readonly own: readonly Stretch[];
      /** pg_rewind goes by the numbers of timelines, and would take one for the other. */
      readonly isTwinTimeline: boolean;
      readonly because: string;
    }
  /** Another database system altogether. */
  | { readonly kind: "foreign"; readonly because: string };

const connectTimeoutMs = 3000;

/** How much of the last common WAL is compared, byte by byte. Commit records carry a time in microseconds. */
const comparedBytes = 16 * 1024;

export async function openUpstream(
  server: Server,
  upstream: Upstream,
  signal: AbortSignal,
): Promise<ReplicationConnection> {
  const { conf, secrets } = server.place;
  const target = {
    address: upstream.address,
    password: secrets.replicator,
    database: conf.database,
    timeoutMs: connectTimeoutMs,
  };
  const connection = await ReplicationConnection.open(target, "database", signal);
  try {
    await requireLeader(connection, upstream);
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Nobody follows a primary that has not committed: its canary row is its word. */
async function requireLeader(connection: ReplicationConnection, upstream: Upstream): Promise<void> {
  const told = await connection
    .sql("select pg_is_in_recovery() as standby, epoch, member from holdfast.epoch")
    .then((rows) => rows[0])
    .catch((error: unknown) => {
      if ((error as { code?: unknown }).code === "42P01") return undefined;
      throw error;
    });
  if (told !== undefined && told.standby === false && Number(told.epoch) === upstream.epoch) return;
  const is =
    told === undefined
      ? "has no canary row"
      : `is ${told.standby === true ? "a standby" : "a primary"} with the canary of epoch ${told.epoch} (${told.member})`;
  throw new DatabaseError(
    "HOLDFAST_PG_UPSTREAM",
    `${upstream.member} is not the primary of epoch ${upstream.epoch}: it ${is}; wait until it has committed`,
    { retryable: true },
  );
}

/**
 * `ownEnd` was read before this is called: the upstream sends only what it has flushed, so who has more than it tells
 * afterwards has something else.
 */
export async function relate(
  server: Server,
  connection: ReplicationConnection,
  ownEnd: Lsn,
): Promise<Relation> {
  const { dataDir } = server;
  const identity = await connection.identify();
  const systemId = readControlFile(dataDir)?.systemId ?? "unreadable";
  if (systemId !== identity.systemId)
    return {
      kind: "foreign",
      because: `its database system is ${systemId}, the upstream's is ${identity.systemId}`,
    };
  const text = await connection.timelineHistory(identity.timeline);
  const theirs = cutHistory(parseHistory(identity.timeline, text), Math.max(identity.position, ownEnd));
  const own = readOwnHistory(dataDir, ownEnd);
  const { common, forkedAt } = compareHistories(own, theirs);
  if (forkedAt !== null) {
    const because = `diverged: the histories part at ${formatLsn(forkedAt)}, its own ends at ${formatLsn(ownEnd)}`;
    return { kind: "diverged", forkedAt, own, isTwinTimeline: false, because };
  }
  const goal = { timeline: identity.timeline, position: identity.position };
  if (common === null) return { kind: "joins", goal };
  if (identity.position < ownEnd)
    return {
      kind: "diverged",
      forkedAt: identity.position,
      own,
      isTwinTimeline: true,
      because: `diverged: its own WAL ends at ${formatLsn(ownEnd)}, ahead of the upstream's ${formatLsn(identity.position)}`,
    };
  return compareBytes(dataDir, connection, common, own, goal);
}

/**
 * Two members that were promoted from the same position without knowing of each other give their timelines the same
 * number, the same switch point and the same history file. Only the WAL itself tells them apart.
 */
async function compareBytes(
  dataDir: string,
  connection: ReplicationConnection,
  common: Stretch,
  own: readonly Stretch[],
  goal: Goal,
): Promise<Relation> {
  const walDir = join(dataDir, "pg_wal");
  const segmentBytes = segmentSize(walDir);
  const { timeline, end } = common;
  const segmentBegin = end === 0 ? 0 : end - 1 - ((end - 1) % segmentBytes);
  const from = Math.max(common.begin, segmentBegin, end - comparedBytes);
  if (end <= from) return { kind: "joins", goal };
  const mine = readSegment(walDir, timeline, from, end - from, segmentBytes);
  let theirs: Buffer;
  try {
    theirs = await connection.readWal(timeline, from, mine.length);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (/has already been removed/.test(text)) return { kind: "too-old", because: `the upstream: ${text}` };
    throw error;
  }
  if (mine.equals(theirs)) return { kind: "joins", goal };
  return {
    kind: "diverged",
    forkedAt: common.begin,
    own,
    isTwinTimeline: true,
    because: `diverged: its timeline ${timeline} is not the upstream's of that number; they part at or after ${formatLsn(common.begin)}`,
  };
}
