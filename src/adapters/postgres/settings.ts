/** What Holdfast writes into PostgreSQL's configuration files, and why each line stands there. */
import { createHash } from "node:crypto";
import { isIP } from "node:net";
import type { Epoch, MemberName } from "../../core/model/id.ts";
import type { Address, DataStore, Member } from "../../core/model/topology.ts";
import type { Upstream } from "../../ports/database.ts";
import { DatabaseError } from "./database-error.ts";

export type Settings = Readonly<Record<string, string>>;

/** Settings that the promises rest on: they are not to be had otherwise. */
const fixed = (place: ConfPlace, found: FoundAddresses): Settings => ({
  listen_addresses: (found.get(place.member.address.host) ?? [place.member.address.host]).join(","),
  port: String(place.member.address.port),
  unix_socket_directories: place.socketDir,
  unix_socket_permissions: "0700",
  // Peers tell members apart by it in logs and in pg_stat_wal_receiver.
  cluster_name: place.member.name,
  fsync: "on",
  full_page_writes: "on",
  synchronous_commit: "on",
  hot_standby: "on",
  // A primary that restarts itself would show commits that nobody acknowledged: its agent decides what comes next.
  restart_after_crash: "off",
  // Each of ours is a file; the control file tells its own path.
  hba_file: `${place.member.dataDir}/pg_hba.conf`,
});

/** Good for a small machine; each may be overridden. */
const defaults: Settings = {
  wal_level: "replica",
  // pg_rewind needs this or checksums; initdb is told to make checksums, a folder of other origin may lack them.
  wal_log_hints: "on",
  max_connections: "100",
  shared_buffers: "32MB",
  max_wal_senders: "16",
  // What a standby may miss and still follow without being seeded anew. Bounds what WAL takes on disk.
  wal_keep_size: "256MB",
  max_wal_size: "512MB",
  // Waiting commits are released by replies, and a reply without news comes this often.
  wal_receiver_status_interval: "1s",
  wal_receiver_timeout: "5s",
  wal_sender_timeout: "5s",
  tcp_keepalives_idle: "2",
  tcp_keepalives_interval: "1",
  tcp_keepalives_count: "3",
  tcp_user_timeout: "5s",
  // A reader on a standby delays replay, and with it a promotion, at most this long.
  max_standby_streaming_delay: "1s",
  max_standby_archive_delay: "1s",
  checkpoint_timeout: "5min",
  // After a crash PostgreSQL syncs the whole folder before it recovers: file by file that took 1 s for an empty database.
  ...(process.platform === "linux" ? { recovery_init_sync_method: "syncfs" } : {}),
  log_line_prefix: "%m [%p] %q%u@%d ",
  log_checkpoints: "off",
  password_encryption: "scram-sha-256",
};

/** Where the rows are, if nothing else is said. */
export const defaultDatabase = "orders";

export interface ConfPlace {
  readonly member: Member;
  readonly store: DataStore;
  readonly socketDir: string;
  readonly database: string;
  readonly appRole: string;
  /** Further CIDR ranges from which members replicate, where addresses are translated on the way. */
  readonly replicationFrom: readonly string[];
  readonly overrides: Settings;
}

/** Name of a member's host -> its addresses, where any were found. */
export type FoundAddresses = ReadonlyMap<string, readonly string[]>;

/** The file that changes with the role, included last. */
export const roleFile = "holdfast.role.conf";

export function staticConf(place: ConfPlace, found: FoundAddresses = new Map()): string {
  const own = fixed(place, found);
  const kept = [
    ...Object.keys(own),
    "primary_conninfo",
    "synchronous_standby_names",
    "primary_slot_name",
    "data_directory",
    "wal_retrieve_retry_interval",
  ];
  const refused = Object.keys(place.overrides).find((name) => kept.includes(name));
  if (refused !== undefined)
    throw new DatabaseError(
      "HOLDFAST_PG_SETTING",
      `setting ${refused} of ${place.member.name} cannot be overridden: Holdfast's promises rest on it; take it out of the settings`,
    );
  const all = { ...defaults, ...place.overrides, ...own };
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${quoteSetting(value)}`);
  return `# Written by Holdfast at each start of ${place.member.name}: changes are lost.\n${lines.join("\n")}\ninclude '${roleFile}'\n`;
}

export interface RoleSettings {
  /** Whom a standby receives from; empty: nobody. */
  readonly conninfo: string;
  /** What commits wait for. */
  readonly syncNames: string;
  /** It is on its way to a new upstream. */
  readonly attaches?: boolean;
}

/** What depends on the role. */
export function roleConf({ conninfo, syncNames, attaches }: RoleSettings): string {
  // A standby sleeps so long once or twice on its way to a new primary: at 20 ms it followed after 98 ms, at 50 ms after 117,
  // and with the default of 5 s some promotions took 5.1 s (FACTS). While its primary is gone, and until it is sealed, it
  // makes a vain connection as often, in the very moment when CPU is short.
  const retry = attaches === true ? "5ms" : "100ms";
  return [
    `primary_conninfo = ${quoteSetting(conninfo)}`,
    `synchronous_standby_names = ${quoteSetting(syncNames)}`,
    `wal_retrieve_retry_interval = ${quoteSetting(retry)}`,
    "",
  ].join("\n");
}

/** Addresses come first: for a name PostgreSQL asks a name server, twice. */
export function hbaConf(place: ConfPlace, found: FoundAddresses): string {
  const members = place.store.members.map(({ address }) => address.host);
  const known = [...[...found.values()].flat(), ...members].map(hbaAddress);
  const hosts = new Set(["samehost", ...known, ...place.replicationFrom]);
  const replicator = [...hosts].flatMap((host) => [
    `host replication replicator ${host} scram-sha-256`,
    `host ${quoteName(place.database)} replicator ${host} scram-sha-256`,
  ]);
  return [
    "# Written by Holdfast at each start: changes are lost.",
    "local all holdfast scram-sha-256",
    // Clients come through the gate, which runs beside the member (L7).
    `host ${quoteName(place.database)} ${quoteName(place.appRole)} samehost scram-sha-256`,
    ...replicator,
    "",
  ].join("\n");
}

function hbaAddress(host: string): string {
  const kind = isIP(host);
  return kind === 4 ? `${host}/32` : kind === 6 ? `${host}/128` : host;
}

/**
 * A replica's application_name: unique per member and epoch, since a second one of the same name silently satisfies the
 * quorum. PostgreSQL compares without regard to case and cuts at 63 bytes, so what would be lost is told by a digest.
 */
export function standbyName(member: MemberName, epoch: Epoch): string {
  const plain = member.toLowerCase().replace(/[^a-z0-9_-]/g, "_");
  const digest = createHash("sha256").update(member).digest("hex").slice(0, 8);
  const name = plain === member && plain.length <= 40 ? plain : `${plain.slice(0, 40)}_${digest}`;
  return `${name}_e${epoch}`;
}

/** Nobody bears it: standbyName always ends in an epoch of digits. */
export const frozenNames = `ANY 1 ("holdfast_frozen_by_agent")`;

export function quorumNames(quorum: {
  readonly epoch: Epoch;
  readonly acknowledgements: number;
  readonly standbys: readonly MemberName[];
}): string {
  if (quorum.acknowledgements === 0) return "";
  const names = quorum.standbys.map((member) => `"${standbyName(member, quorum.epoch)}"`);
  return `ANY ${quorum.acknowledgements} (${names.join(", ")})`;
}

export interface WaysToUpstream {
  /** Tried first, and does not last. */
  readonly first: Address | null;
  /**
   * The addresses of its name: libpq would ask a name server at each connection, and who waits for one cannot be stopped, which
   * holds up a seal. One that has moved is found when the member is told anew to follow.
   */
  readonly found: readonly string[];
}

export function conninfo(
  { member, overrides }: Pick<ConfPlace, "member" | "overrides">,
  upstream: Upstream,
  passFile: string,
  { first, found }: WaysToUpstream = { first: null, found: [] },
): string {
  const { host, port } = upstream.address;
  const known = found.length === 0 ? [""] : found;
  const ways = [
    ...(first ? [{ ...first, known: "" }] : []),
    ...known.map((one) => ({ host, port, known: one })),
  ];
  return conninfoText({
    host: ways.map((way) => way.host).join(","),
    port: ways.map((way) => way.port).join(","),
    ...(found.length === 0 ? {} : { hostaddr: ways.map((way) => way.known).join(",") }),
    user: "replicator",
    passfile: passFile,
    application_name: standbyName(member.name, upstream.epoch),
    // libpq takes less than 2 as 2. A silent upstream must not hold a promotion for TCP's own patience (FACTS).
    connect_timeout: "2",
    ...noticesSilence,
    gssencmode: "disable",
    // Asking a server that has no TLS whether it has costs a round trip, in the moment in which commits wait for this one.
    sslmode: overrides.ssl === undefined ? "disable" : "prefer",
  });
}

/** Parameters of libpq with which a connection finds out within 5 s that nobody is there; TCP's own patience is two hours. */
export const noticesSilence = {
  tcp_user_timeout: "5000",
  keepalives_idle: "2",
  keepalives_interval: "1",
  keepalives_count: "3",
} as const;

/** The same for sockets of Node, which asks each second after this, ten times at most. */
export const keepAliveAfterMs = 2000;

export function conninfoText(parameters: Readonly<Record<string, string>>): string {
  return Object.entries(parameters)
    .map(([name, value]) => `${name}='${value.replace(/['\\]/g, "\\$&")}'`)
    .join(" ");
}

function quoteSetting(value: string): string {
  return `'${value.replace(/'/g, "''").replace(/\\/g, "\\\\")}'`;
}

function quoteName(name: string): string {
  return `"${name.replace(/"/g, '""')}"`;
}
