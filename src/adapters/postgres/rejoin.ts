/** Makes a member a standby of its upstream, whatever it is now. */
import { rename } from "node:fs/promises";
import { join } from "node:path";
import type { Epoch } from "../../core/model/id.ts";
import type { Lsn } from "../../core/model/lsn.ts";
import type { TimelineFork } from "../../core/model/record.ts";
import type { WallMs } from "../../core/model/time.ts";
import type { Divergence, Upstream } from "../../ports/database.ts";
import { DatabaseError } from "./database-error.ts";
import { isIoError } from "./disk-trouble.ts";
import { keepTail } from "./divergence.ts";
import { makePrivateFolder } from "./durable-file.ts";
import type { Forerunner } from "./forerunner.ts";
import type { MemberFile } from "./member-file.ts";
import { rewindMember } from "./rewind.ts";
import { seedMember } from "./seed.ts";
import type { Server } from "./server.ts";
import {
  endOfStandby,
  followUpstream,
  type Goal,
  startFollowing,
  startSealedStandby,
  takeTimeline,
} from "./standby.ts";
import { openUpstream, type Relation, relate } from "./upstream.ts";

export interface RejoinDeps {
  readonly server: Server;
  readonly file: MemberFile;
  readonly wall: () => WallMs;
}

export interface RejoinRequest {
  readonly upstream: Upstream;
  /** Seeded, whatever it could be otherwise. */
  readonly anew: boolean;
  readonly maxBytesPerSecond: number;
  readonly onProgress: (text: string) => void;
}

export interface Rejoined {
  readonly how: "followed" | "started" | "rewound" | "seeded";
  readonly divergence: Divergence | null;
}

/** The same for a copy that is known to be a part of what was promoted at the upstream, up to `promotedAt`, by `fork`. */
export async function followKnown(
  server: Server,
  file: MemberFile,
  upstream: Upstream,
  known: {
    readonly promotedAt: Lsn;
    readonly fork: TimelineFork | undefined;
    readonly forerunner: Forerunner | null;
  },
  signal: AbortSignal,
): Promise<void> {
  const { promotedAt, fork, forerunner } = known;
  refuseOldEpoch(file, upstream);
  if (fork) await takeTimeline(server, fork, signal);
  const goal = { timeline: null, position: promotedAt };
  await followUpstream(server, file, upstream, goal, signal, forerunner);
}

/** A running standby changes its upstream, if its history is a part of that one's. */
export async function followChecked(
  server: Server,
  file: MemberFile,
  upstream: Upstream,
  signal: AbortSignal,
): Promise<void> {
  refuseOldEpoch(file, upstream);
  const ownEnd = await endOfStandby(server, file, signal);
  const connection = await openUpstream(server, upstream, signal);
  let goal: Goal;
  try {
    const relation = await relate(server, connection, ownEnd);
    if (relation.kind !== "joins")
      throw new DatabaseError(
        "HOLDFAST_PG_DIVERGED",
        `${file.memory.member} cannot follow ${upstream.member}: ${relation.because}; rejoin it`,
      );
    goal = relation.goal;
  } finally {
    connection.close();
  }
  await followUpstream(server, file, upstream, goal, signal);
}

function refuseOldEpoch(file: MemberFile, upstream: Upstream): void {
  const { member, floor, epoch } = file.memory;
  const known = Math.max(floor, epoch);
  if (known <= upstream.epoch) return;
  throw new DatabaseError(
    "HOLDFAST_PG_EPOCH",
    `${member} cannot follow ${upstream.member} of epoch ${upstream.epoch}: it knows of epoch ${known}`,
  );
}

/**
 * PostgreSQL itself tells where this member's WAL ends: it is started as a standby that receives from nobody, which
 * recovers it from a crash as well (pg_rewind needs that). Parsing its files instead would mean to know better than the
 * server which record is the last valid one; our reader only lists what is in a tail.
 */
export async function rejoinMember(
  deps: RejoinDeps,
  request: RejoinRequest,
  signal: AbortSignal,
): Promise<Rejoined> {
  const { server, file } = deps;
  const { upstream, onProgress } = request;
  refuseOldEpoch(file, upstream);
  // Before a start makes it a follower of nobody.
  const ledEpoch = Math.max(file.memory.epoch, file.memory.floor);
  const connection = await openUpstream(server, upstream, signal);
  try {
    const isWorthless = request.anew || !server.hasData() || file.memory.unfinished !== "";
    if (isWorthless) return await seed(deps, request, null, signal);
    const start = await startForLooking(deps, onProgress, signal);
    if (start.kind === "unreadable") {
      onProgress(`its data cannot be started (${start.because}): they are kept aside, and it is seeded anew`);
      return await seed(deps, request, await setAside(deps, ledEpoch), signal);
    }
    const relation = await relate(server, connection, start.end);
    if (relation.kind === "joins") {
      await followUpstream(server, file, upstream, relation.goal, signal);
      return { how: start.kind === "running" ? "followed" : "started", divergence: null };
    }
    onProgress(relation.because);
    if (relation.kind === "too-old") return await seed(deps, request, null, signal);
    await server.stopFast(signal);
    if (relation.kind === "foreign") return await seed(deps, request, await setAside(deps, ledEpoch), signal);
    return await returnDiverged(deps, request, { ...relation, endedAt: start.end, ledEpoch }, signal);
  } finally {
    connection.close();
  }
}

type Start =
  | { readonly kind: "running" | "started"; readonly end: Lsn }
  | { readonly kind: "unreadable"; readonly because: string };

async function startForLooking(
  deps: RejoinDeps,
  onProgress: (text: string) => void,
  signal: AbortSignal,
): Promise<Start> {
  const { server, file } = deps;
  if (server.hasProcesses()) {
    try {
      return { kind: "running", end: await endOfStandby(server, file, signal) };
    } catch {
      signal.throwIfAborted();
      onProgress("ends what runs there");
      await server.end(signal);
    }
  }
  onProgress("starts it to see where its history ends");
  try {
    return { kind: "started", end: await startSealedStandby(server, file, 0, signal) };
  } catch (error) {
    signal.throwIfAborted();
    if (
      !(error instanceof DatabaseError) ||
      error.code !== "HOLDFAST_PG_START" ||
      /port \d+ is taken/.test(error.message) ||
      // Its data may be whole, and a copy of the primary's on the same disk is no better off.
      isIoError(error)
    )
      throw error;
    return { kind: "unreadable", because: error.message };
  }
}

async function returnDiverged(
  deps: RejoinDeps,
  request: RejoinRequest,
  relation: Relation & { readonly kind: "diverged"; readonly endedAt: Lsn; readonly ledEpoch: Epoch },
  signal: AbortSignal,
): Promise<Rejoined> {
  const { server, file } = deps;
  const { upstream, onProgress } = request;
  const folder = await divergedFolder(deps, relation.ledEpoch);
  const { account } = server.place;
  const { forkedAt, endedAt, own: history } = relation;
  const divergence = await keepTail({ dataDir: server.dataDir, history, forkedAt, endedAt, folder, account });
  onProgress(`kept ${divergence.transactions.length} diverged transactions in ${folder}`);
  if (server.place.binaries.pgRewind === null || relation.isTwinTimeline)
    return seed(deps, request, divergence, signal);
  const connection = await openUpstream(server, upstream, signal);
  try {
    const goal = await connection.identify();
    await rewindMember(server, file, { ...request, connection }, signal);
    await startFollowing(server, file, upstream, goal, signal);
    return { how: "rewound", divergence };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof DatabaseError)) throw error;
    onProgress(`cannot be rewound, is seeded anew: ${error.message}`);
  } finally {
    connection.close();
  }
  return seed(deps, request, divergence, signal);
}

async function seed(
  deps: RejoinDeps,
  request: RejoinRequest,
  divergence: Divergence | null,
  signal: AbortSignal,
): Promise<Rejoined> {
  const { server, file } = deps;
  await seedMember(server, file, request, signal);
  const connection = await openUpstream(server, request.upstream, signal);
  const goal = await connection.identify().finally(() => connection.close());
  await startFollowing(server, file, request.upstream, goal, signal);
  return { how: "seeded", divergence };
}

async function divergedFolder(deps: RejoinDeps, epoch: Epoch): Promise<string> {
  const parent = join(deps.server.place.stateDir, "diverged");
  await makePrivateFolder(parent, deps.server.place.account);
  const at = new Date(deps.wall()).toISOString().replace(/[-:.]/g, "");
  return join(parent, `${epoch}-${at}`);
}

/** Data of which nothing can be said are kept whole: renaming costs nothing. */
async function setAside(deps: RejoinDeps, epoch: Epoch): Promise<Divergence> {
  const { server, file } = deps;
  const folder = await divergedFolder(deps, epoch);
  await file.update({ unfinished: "seed" });
  await rename(server.dataDir, folder);
  return { forkedAt: 0, endedAt: 0, keptIn: folder, transactions: [] };
}
