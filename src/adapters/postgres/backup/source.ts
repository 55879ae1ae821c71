/** Which member a backup is copied from: a standby that streams, so that the primary has no part in it, else the primary. */
import { formatLsn, type Lsn } from "../../../core/model/lsn.ts";
import type { Member } from "../../../core/model/topology.ts";
import { DatabaseError } from "../database-error.ts";
import { ReplicationConnection, type ReplicationTarget } from "../replication.ts";

export interface Source {
  readonly member: Member;
  readonly target: ReplicationTarget;
  readonly role: "primary" | "standby";
  readonly epoch: number;
  readonly systemId: string;
  readonly position: Lsn;
}

export interface SourceRequest {
  readonly members: readonly Member[];
  /** Preferred among standbys: the copy passes no line between regions. */
  readonly region: string;
  readonly password: string;
  readonly database: string;
}

const timeoutMs = 3000;

/** Asks all members at once. Rejects with HOLDFAST_BACKUP_NO_SOURCE, with what each of them said. */
export async function findSource(request: SourceRequest, signal: AbortSignal): Promise<Source> {
  const asked = await Promise.all(request.members.map((member) => ask(request, member, signal)));
  signal.throwIfAborted();
  const answered = asked.filter((one) => typeof one !== "string");
  // A member of an epoch before is on its way to who leads now, or was left behind.
  const epoch = Math.max(...answered.map((one) => one.epoch));
  const rank = (one: Source) => (one.role === "primary" ? 2 : one.member.region === request.region ? 0 : 1);
  const [best] = answered
    .filter((one) => one.epoch === epoch)
    .sort((a, b) => rank(a) - rank(b) || b.position - a.position);
  if (best) return best;
  throw new DatabaseError(
    "HOLDFAST_BACKUP_NO_SOURCE",
    `no member can be copied from: ${asked.filter((one) => typeof one === "string").join("; ")}`,
    { retryable: true },
  );
}

/** Text: why it cannot be copied from. */
async function ask(request: SourceRequest, member: Member, signal: AbortSignal): Promise<Source | string> {
  const { password, database } = request;
  const target: ReplicationTarget = { address: member.address, password, database, timeoutMs };
  const within = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  let connection: ReplicationConnection | null = null;
  try {
    connection = await ReplicationConnection.open(target, "database", within);
    const { systemId, position } = await connection.identify();
    const [row] = await connection.sql(
      `select pg_is_in_recovery() as standby, exists (select from pg_stat_wal_receiver) as streams,
       (select epoch from holdfast.epoch) as epoch`,
    );
    const role = row?.standby === true ? "standby" : "primary";
    if (role === "standby" && row?.streams !== true)
      return `${member.name} is a standby at ${formatLsn(position)} that receives from nobody`;
    return { member, target, role, epoch: Number(row?.epoch ?? 0), systemId, position };
  } catch (error) {
    if (within.aborted) return `${member.name} did not answer within ${timeoutMs / 1000} s`;
    return `${member.name}: ${error instanceof Error ? error.message : error}`;
  } finally {
    connection?.close();
  }
}
