/** What a member is right now: one query on a connection of its own, and what /proc tells when there is no answer. */
import { statfs } from "node:fs/promises";
import { type Lsn, parseLsn } from "../../core/model/lsn.ts";
import type { WallMs } from "../../core/model/time.ts";
import type { MemberInspection, ReplicaInspection } from "../../ports/database.ts";
import { readControlFile } from "./control-file.ts";
import { DamageWatch } from "./damage.ts";
import type { MemberFile } from "./member-file.ts";
import { OwnTimeline } from "./own-history.ts";
import { boundLog, treePlace } from "./postmaster.ts";
import { findTree, isLeft, isStopped, type TreeProcess } from "./process-tree.ts";
import type { Server } from "./server.ts";
import { frozenNames, standbyName } from "./settings.ts";

interface Row {
  standby: boolean;
  timeline: number | null;
  position: string;
  inserted: string | null;
  names: string;
  checksum_failures: string | null;
  receiver_status: string | null;
  replicas:
    | readonly { name: string; state: string; flushed: string | null; replayed: string | null }[]
    | null;
}

// CASE is evaluated lazily: half of these functions fail in the other role.
const query = `
  select r.standby,
    case when not r.standby
      then ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int end as timeline,
    case when r.standby then greatest(coalesce(pg_last_wal_receive_lsn(), '0/0'), coalesce(pg_last_wal_replay_lsn(), '0/0'))
      else pg_current_wal_flush_lsn() end::text as position,
    case when not r.standby then pg_current_wal_insert_lsn() end::text as inserted,
    current_setting('synchronous_standby_names') as names,
    (select sum(checksum_failures) from pg_stat_database)::text as checksum_failures,
    (select status from pg_stat_wal_receiver) as receiver_status,
    (select json_agg(json_build_object('name', application_name, 'state', state, 'flushed', flush_lsn, 'replayed', replay_lsn))
       from pg_stat_replication where not r.standby) as replicas
  from (select pg_is_in_recovery() as standby) as r`;

/** A look every 100 ms: half a minute. A replica that is further behind is not one that anything is published of. */
const boundariesMax = 300;

/** Keeps what it has seen last, for when nothing answers. */
export class Inspector {
  readonly #server: Server;
  readonly #file: MemberFile;
  readonly #timeline: OwnTimeline;
  readonly #damage: DamageWatch;
  #postmaster: TreeProcess | null = null;
  #lastPosition: Lsn = 0;
  #lastTimeline = 0;
  #looks = 0;
  #room: Room = { full: false, freePercent: null };
  #isLooking = false;
  /**
   * Ends of whole records, oldest first. A flush may end in the middle of one, and a server that is started again has
   * whole records only: a position that was published as flushed would then be one that nobody has.
   */
  #boundaries: Lsn[] = [];

  constructor(server: Server, file: MemberFile, wall: () => WallMs) {
    this.#server = server;
    this.#file = file;
    this.#damage = new DamageWatch(file, wall);
    this.#timeline = new OwnTimeline(server.dataDir);
  }

  /** `activity`: what an operation is doing to the member; empty: none. Never rejects. */
  async inspect(timeoutMs: number, activity: string): Promise<MemberInspection> {
    try {
      this.#looks += 1;
      this.#lookForRoom();
      // Every minute or so.
      if (this.#looks % 256 === 0) boundLog(this.#server.logFile);
      return await this.#look(timeoutMs, activity);
    } catch (error) {
      return {
        ...this.#blank(),
        state: "unknown",
        problem: `cannot look: ${error instanceof Error ? error.message : error}`,
      };
    }
  }

  async #look(timeoutMs: number, activity: string): Promise<MemberInspection> {
    const { memory } = this.#file;
    if (!this.#server.hasData() || memory.unfinished !== "") {
      const problem =
        memory.unfinished === ""
          ? activity
          : activity || `its data are unfinished (${memory.unfinished}): it must be seeded anew`;
      return {
        ...this.#blank(),
        incarnation: null,
        state: activity === "" ? "absent" : "rejoining",
        problem,
      };
    }
    if (this.#postmaster === null || !isLeft(this.#postmaster)) {
      const tree = findTree(treePlace(this.#server.dataDir));
      this.#postmaster = tree.find((each) => each.isPostmaster) ?? null;
      if (tree.length === 0) return this.#stopped(activity);
      // Nothing can bring it back: whoever leads has lost it, and ends what is left before anything else is done.
      if (this.#postmaster === null)
        return {
          ...this.#stopped(activity),
          problem: `its postmaster has died; ${tree.length} of its processes are left`,
        };
    }
    if (isStopped(this.#postmaster.pid))
      return { ...this.#blank(), state: "hung", problem: "its postmaster is stopped (SIGSTOP or traced)" };
    try {
      const [row] = (await this.#server.watch<Row>(query, timeoutMs)) as [Row];
      this.#damage.take(memory.incarnation, Number(row.checksum_failures ?? 0));
      return this.#running(row, activity);
    } catch (error) {
      return this.#silent(error, timeoutMs, activity);
    }
  }

  #running(row: Row, activity: string): MemberInspection {
    const { memory } = this.#file;
    const inserted = row.inserted === null ? 0 : parseLsn(row.inserted);
    if (row.standby) this.#boundaries = [];
    else if (this.#boundaries.at(-1) !== inserted)
      this.#boundaries = [...this.#boundaries, inserted].slice(-boundariesMax);
    this.#lastPosition = row.standby ? parseLsn(row.position) : this.#wholeUpTo(parseLsn(row.position));
    // No function tells which timeline a standby is on; its files do.
    this.#lastTimeline = row.timeline ?? this.#timeline.at(this.#lastPosition);
    const isFrozen = !row.standby && row.names === frozenNames;
    return {
      ...this.#blank(),
      state: activity !== "" && row.standby ? "rejoining" : row.standby ? "standby" : "primary",
      epoch: memory.role === (row.standby ? "standby" : "primary") ? memory.epoch : 0,
      streaming: row.standby && row.receiver_status === "streaming",
      frozen: isFrozen,
      sealedBasis: row.standby ? memory.sealedBasis : 0,
      sealedPosition: row.standby ? memory.sealedPosition : 0,
      replicas: (row.replicas ?? []).flatMap((each) => this.#replica(each)),
      waitsFor: row.standby ? null : this.#waitsFor(isFrozen ? null : row.names),
      problem: activity,
      inserted,
    };
  }

  /** Beside the looks: a disk that hangs must not hold one up. */
  #lookForRoom(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    void roomIn(this.#server.dataDir)
      .then((room) => {
        this.#room = room;
      })
      .catch(() => undefined)
      .finally(() => {
        this.#isLooking = false;
      });
  }

  #wholeUpTo(flushed: Lsn): Lsn {
    return this.#boundaries.findLast((boundary) => boundary <= flushed) ?? 0;
  }

  #replica(each: {
    name: string;
    state: string;
    flushed: string | null;
    replayed: string | null;
  }): ReplicaInspection[] {
    const member = this.#server.place.conf.store.members.find(
      (one) => standbyName(one.name, this.#file.memory.epoch) === each.name,
    );
    if (member === undefined) return [];
    return [
      {
        member: member.name,
        incarnation: null,
        streaming: each.state === "streaming",
        flushed: each.flushed === null ? 0 : this.#wholeUpTo(parseLsn(each.flushed)),
        replayed: each.replayed === null ? 0 : parseLsn(each.replayed),
      },
    ];
  }

  /** While frozen: what a thaw returns to. */
  #waitsFor(names: string | null): MemberInspection["waitsFor"] {
    const { quorum, epoch } = this.#file.memory;
    if (names === null) return { acknowledgements: quorum.acknowledgements, standbys: quorum.standbys };
    const match = /^ANY (\d+) \((.*)\)$/.exec(names);
    if (!match) return { acknowledgements: 0, standbys: [] };
    const bearers = new Set((match[2] as string).split(", ").map((name) => name.replaceAll('"', "")));
    const { members } = this.#server.place.conf.store;
    return {
      acknowledgements: Number(match[1]),
      standbys: members.map((one) => one.name).filter((name) => bearers.has(standbyName(name, epoch))),
    };
  }

  #stopped(activity: string): MemberInspection {
    const { memory } = this.#file;
    const control = readControlFile(this.#server.dataDir);
    return {
      ...this.#blank(),
      state: activity === "" ? "stopped" : "rejoining",
      epoch: memory.epoch,
      timeline: this.#lastTimeline || (control?.timeline ?? 0),
      position: Math.max(this.#lastPosition, memory.sealedPosition, control?.position ?? 0),
      sealedBasis: memory.sealedBasis,
      sealedPosition: memory.sealedPosition,
      problem: activity,
    };
  }

  #silent(error: unknown, timeoutMs: number, activity: string): MemberInspection {
    const code = (error as { code?: unknown }).code;
    // 57P03: cannot connect now. Without a socket it has not come that far; with a status of its own it is on its way.
    const status = this.#server.readStatus();
    const isStarting =
      code === "57P03" ||
      status === "starting" ||
      (status === "" && (code === "ENOENT" || code === "ECONNREFUSED"));
    if (isStarting || status === "stopping")
      return {
        ...this.#stopped(activity),
        problem: activity || (isStarting ? "starting up" : "shutting down"),
      };
    const text = error instanceof Error ? error.message : String(error);
    return {
      ...this.#blank(),
      state: "hung",
      problem: `its processes exist and do not answer within ${timeoutMs} ms: ${text}`,
    };
  }

  #blank(): MemberInspection {
    const { memory } = this.#file;
    return {
      state: "unknown",
      incarnation: memory.incarnation,
      timeline: this.#lastTimeline,
      position: this.#lastPosition,
      inserted: 0,
      epoch: memory.epoch,
      floor: memory.floor,
      publication: memory.publication ?? 0,
      streaming: false,
      frozen: false,
      sealedBasis: 0,
      sealedPosition: 0,
      replicas: [],
      waitsFor: null,
      ...this.#room,
      damaged: this.#damage.known,
      problem: "",
    };
  }
}

/** PostgreSQL writes pages of 8 KiB; a file system says that it has a few blocks left when it has none to give. */
const roomMinBytes = 64 * 1024;

type Room = Pick<MemberInspection, "full" | "freePercent">;

/** For whoever is not root, as `df` counts it. */
async function roomIn(folder: string): Promise<Room> {
  const { bavail, bfree, blocks, bsize } = await statfs(folder);
  const usable = blocks - bfree + bavail;
  return {
    full: bavail * bsize < roomMinBytes,
    freePercent: usable === 0 ? null : Math.floor((100 * bavail) / usable),
  };
}
