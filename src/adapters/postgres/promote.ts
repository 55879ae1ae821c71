/** Makes a standby the primary of an epoch, and lets nothing be acknowledged before it waits for whom it shall. */
import type { Epoch, Incarnation, MemberName } from "../../core/model/id.ts";
import { type Lsn, parseLsn } from "../../core/model/lsn.ts";
import type { TimelineFork } from "../../core/model/record.ts";
import { readCanary, writeCanary } from "./canary.ts";
import type { Commits } from "./commits.ts";
import { DatabaseError } from "./database-error.ts";
import type { MemberFile } from "./member-file.ts";
import { readFork, unwrittenHistories } from "./own-history.ts";
import type { Server } from "./server.ts";
import { quorumNames } from "./settings.ts";
import { positionOfStandby, sealStandby } from "./standby.ts";
import { until } from "./until.ts";

export interface Promotion {
  readonly timeline: number;
  readonly position: Lsn;
  readonly incarnation: Incarnation;
  readonly fork?: TimelineFork;
}

export async function promoteMember(
  server: Server,
  file: MemberFile,
  commits: Commits,
  request: {
    readonly epoch: Epoch;
    readonly acknowledgements: number;
    readonly standbys: readonly MemberName[];
  },
  signal: AbortSignal,
): Promise<Promotion> {
  const { memory } = file;
  const { member } = server.place.conf;
  const { epoch } = request;
  if (epoch < 1 || epoch < memory.floor)
    throw new DatabaseError(
      "HOLDFAST_PG_EPOCH",
      `cannot promote ${member.name} in epoch ${epoch}: it has been claimed for epoch ${memory.floor}`,
    );
  if (memory.incarnation === null)
    throw new DatabaseError(
      "HOLDFAST_PG_STATE",
      `cannot promote ${member.name}: it has no data; rejoin it first`,
    );
  const isStandby = await inRecovery(server);
  const [canary, hasHeard] = await Promise.all([readCanary(server), isStandby && hasUnwritten(server)]);
  if (canary !== null && (epoch < canary.epoch || (epoch === canary.epoch && canary.member !== member.name)))
    throw new DatabaseError(
      "HOLDFAST_PG_EPOCH",
      `cannot promote ${member.name} in epoch ${epoch}: its data are already of epoch ${canary.epoch}, led by ${canary.member}`,
    );
  if (!isStandby && (memory.role !== "primary" || memory.epoch !== epoch))
    throw new DatabaseError(
      "HOLDFAST_PG_STATE",
      `cannot promote ${member.name} in epoch ${epoch}: it is already a primary, of epoch ${memory.epoch}; end it first`,
    );
  const { acknowledgements, standbys } = request;
  const quorum = { epoch, acknowledgements, standbys };
  if (isStandby) {
    // Sealed, it has forgotten them; the target of a planned change was never sealed.
    if (hasHeard) await sealStandby(server, file, 0, signal);
    // Both are there before it is a primary: its floor, and whom its commits wait for. Nobody bears these names yet, since
    // nobody follows a primary before its lease is committed.
    commits.forget();
    await Promise.all([
      file.update({ floor: epoch, role: "primary", epoch, sealedBasis: 0, sealedPosition: 0, quorum }),
      server.setRole({ conninfo: "", syncNames: quorumNames(quorum) }),
      commits.warmUp(),
    ]);
    await server.query("select pg_promote(false)");
    await until(async () => ((await inRecovery(server)) ? undefined : true), 2, signal);
    await writeCanary(server, epoch, member.name);
    await commits.begin(quorum, signal);
  } else {
    await writeCanary(server, epoch, member.name);
    await commits.hold(signal);
    await commits.release(quorum, signal);
  }
  const rows = await server.query<{ timeline: number; position: string }>(
    `select ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int as timeline,
            pg_current_wal_flush_lsn()::text as position`,
  );
  const row = rows[0] as { timeline: number; position: string };
  const fork = readFork(server.dataDir, row.timeline);
  return {
    timeline: row.timeline,
    position: parseLsn(row.position),
    incarnation: memory.incarnation,
    ...(fork && { fork }),
  };
}

/** Timelines that it has heard of and has nothing of: its own would name the last of them as its parent. */
async function hasUnwritten(server: Server): Promise<boolean> {
  return unwrittenHistories(server.dataDir, await positionOfStandby(server)).length > 0;
}

async function inRecovery(server: Server): Promise<boolean> {
  const rows = await server.query<{ standby: boolean }>("select pg_is_in_recovery() as standby");
  return rows[0]?.standby === true;
}
