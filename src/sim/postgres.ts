/**
 * A PostgreSQL member as its agent, its replicas and its clients meet it: WAL positions, timelines, receivers, a quorum of
 * standbys that commits wait for, crash recovery, and a disk that keeps what it kept.
 */

import type { MemberOp } from "../core/machine/command.ts";
import type { MemberSight } from "../core/machine/event.ts";
import type { Member } from "../core/model/topology.ts";
import { type Disk, emptyDisk } from "./disk.ts";
import { type Kernel, type Micros, millis } from "./kernel.ts";
import type { Network } from "./network.ts";
import { Process } from "./process.ts";
import type { Random } from "./random.ts";
import { canFollow, lineAt, type Timeline } from "./timeline.ts";

interface Sender {
  readonly standby: Postgres;
  readonly connection: number;
  flushed: number;
  sending: boolean;
  sent: number;
}

interface WaitingCommit {
  readonly position: number;
  readonly acknowledge: (timeline: Timeline, position: number) => void;
}

export interface Cluster {
  readonly kernel: Kernel;
  readonly network: Network;
  readonly members: ReadonlyMap<string, Postgres>;
  readonly timelines: Timeline[];
  /** Ablation: a seal answers, and the member goes on receiving. */
  readonly withoutSeal: boolean;
  /** Ablation: commits wait for nobody, whatever is configured. */
  readonly withoutSynchronousSet: boolean;
  readonly onPromoted: (member: Postgres, epoch: number) => void;
  readonly onFollowed: (member: Postgres, upstream: string, epoch: number) => void;
  /** Told to follow without a comparison, although the histories part. */
  readonly onDiverged: (member: Postgres, upstream: string) => void;
  readonly onStarted: (member: Postgres) => void;
}

const walBytesOfWrite = 200;
const walBytesOfCanary = 136;
const walBytesOfShutdown = 120;
/** `wal_retrieve_retry_interval` as Holdfast sets it. */
const reconnectEvery: Micros = millis(100);
/** `wal_receiver_timeout` and `wal_sender_timeout`. */
const receiverTimeout: Micros = millis(3000);

type LeadOp = Extract<MemberOp, { kind: "promote" }>;

export class Postgres {
  readonly member: Member;
  readonly region: string;
  readonly process = new Process();
  readonly disk: Disk = emptyDisk();
  /** Set while the data folder is being made anew. */
  rejoining = false;
  /** Its disk does not answer: nothing is flushed, and its processes cannot be killed (state D). */
  diskHung = false;
  diskSlowness = 1;
  /** Statements fail, a standby receives nothing more, and whoever has to write a file cannot; PostgreSQL runs on. */
  diskFull = false;
  readonly #cluster: Cluster;
  readonly #chance: Random;
  readonly #senders = new Map<string, Sender>();
  #receiver: { readonly from: Postgres; readonly connection: number; readonly life: number } | null = null;
  #connection = 0;
  #retrying = false;
  #heardAt: Micros = 0;
  #waiting: WaitingCommit[] = [];
  #written = 0;
  #flushing = false;
  #stopping = false;
  #killed: (() => void)[] = [];
  #whenUnhung: (() => void)[] = [];
  #incarnations = 0;
  /** Rises with each end: what was ordered before has no effect after. */
  effect = 0;

  constructor(cluster: Cluster, member: Member) {
    this.#cluster = cluster;
    this.member = member;
    this.region = member.region;
    this.#chance = cluster.kernel.chance(`postgres ${member.name}`);
  }

  get name(): string {
    return this.member.name;
  }

  get isPrimary(): boolean {
    return this.process.alive && this.disk.role === "primary";
  }

  get isStandby(): boolean {
    return this.process.alive && this.disk.role === "standby";
  }

  get streaming(): boolean {
    return this.#receiver !== null;
  }

  // ---------------------------------------------------------------- the life of the process

  start(role: "standby" | "primary"): void {
    this.disk.role = role;
    this.process.start();
    this.#written = this.disk.position;
    this.#stopping = false;
    this.#senders.clear();
    this.#waiting = [];
    this.#flushing = false;
    this.#receiver = null;
    this.#cluster.onStarted(this);
    if (role === "standby") this.#connectSoon();
  }

  /** SIGKILL to the whole tree: what was flushed stays, who waits hears nothing. */
  kill(): void {
    this.effect++;
    if (this.process.alive) {
      this.process.kill();
      this.#waiting = [];
      this.#written = this.disk.position;
      this.disconnect();
      for (const sender of this.#senders.values()) this.#hangUp(sender);
      this.#senders.clear();
    }
    const killed = this.#killed;
    this.#killed = [];
    for (const act of killed) act();
  }

  /** Called once when the process is next killed. */
  onKilled(act: () => void): void {
    this.#killed.push(act);
  }

  pause(): void {
    this.process.stop();
  }

  resume(): void {
    this.process.resume();
  }

  /** Called when the disk answers again. */
  onUnhung(act: () => void): void {
    this.#whenUnhung.push(act);
  }

  unhang(): void {
    this.diskHung = false;
    const waiting = this.#whenUnhung;
    this.#whenUnhung = [];
    for (const act of waiting) act();
  }

  /** The disk is lost: nothing is left of this member but its name. */
  wipe(): void {
    this.kill();
    this.eraseData();
    this.disk.floor = 0;
    this.disk.publication = 0;
  }

  /** The disk is as it was once: what was flushed since is gone, and nothing on it says so. */
  rollBack(position: number): void {
    this.kill();
    const { disk } = this;
    if (disk.timeline === null) return;
    disk.position = Math.max(disk.timeline.forkedAt, Math.min(disk.position, position));
  }

  /** Somebody restores an old backup: older data, which nobody has vouched for. */
  restore(position: number): void {
    if (this.disk.incarnation === null) return;
    this.rollBack(position);
    this.disk.incarnation = this.newIncarnation();
    this.disk.damage = null;
    this.disk.sealedBasis = 0;
    this.disk.sealedPosition = 0;
  }

  /** What is left is the name, and the floor with its publication beside the folder. */
  eraseData(): void {
    const { floor, publication } = this.disk;
    Object.assign(this.disk, emptyDisk(), { floor, publication });
  }

  // ---------------------------------------------------------------- commits

  /** A client's write; `acknowledge` is called when the commit returns, if it ever does. */
  commit(acknowledge: (timeline: Timeline, position: number) => void): void {
    if (!this.isPrimary || this.#stopping || this.diskFull) return;
    this.#written += walBytesOfWrite;
    this.#waiting.push({ position: this.#written, acknowledge });
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    const { life } = this.process;
    const flush = () =>
      this.process.deliverTo(life, () => {
        if (this.diskHung) {
          this.#whenUnhung.push(flush);
          return;
        }
        this.#flushing = false;
        this.disk.position = this.#written;
        for (const sender of this.#senders.values()) this.#send(sender);
        this.release();
      });
    this.#cluster.kernel.after(Math.round(millis(0.3 + this.#chance.fraction()) * this.diskSlowness), flush);
  }

  waitFor({ acknowledgements, standbys }: Pick<LeadOp, "acknowledgements" | "standbys">): void {
    this.disk.acknowledgements = acknowledgements;
    this.disk.standbys = standbys;
    this.release();
  }

  /** PostgreSQL releases waiting commits in the order of their positions, as far as the quorum has flushed. */
  release(): void {
    if (this.#waiting.length === 0) return;
    if (!this.process.running || this.disk.role !== "primary" || this.disk.frozen) return;
    let upTo = this.disk.position;
    const { acknowledgements, standbys } = this.disk;
    if (acknowledgements > 0 && !this.#cluster.withoutSynchronousSet) {
      const flushed: number[] = [];
      for (const name of standbys) {
        const sender = this.#senders.get(name);
        if (sender) flushed.push(sender.flushed);
      }
      if (flushed.length < acknowledgements) return;
      flushed.sort((a, b) => b - a);
      upTo = Math.min(upTo, flushed[acknowledgements - 1] as number);
    }
    const waiting = this.#waiting;
    let count = 0;
    while (count < waiting.length && (waiting[count] as WaitingCommit).position <= upTo) count++;
    if (count === 0) return;
    const released = waiting.splice(0, count);
    const timeline = this.disk.timeline as Timeline;
    for (const { position, acknowledge } of released) acknowledge(timeline, position);
  }

  // ---------------------------------------------------------------- replication

  #connectSoon(): void {
    if (this.#retrying || this.disk.upstream === null || this.disk.role !== "standby") return;
    this.#retrying = true;
    const { life } = this.process;
    this.#cluster.kernel.after(reconnectEvery, () => {
      this.#retrying = false;
      this.process.deliverTo(life, () => this.connect());
      if (life !== this.process.life && this.isStandby) this.#connectSoon();
    });
  }

  connect(): void {
    const { disk } = this;
    if (this.#receiver || !disk.timeline || disk.upstream === null || disk.role !== "standby") return;
    const upstream = this.#cluster.members.get(disk.upstream);
    const { network } = this.#cluster;
    const reachable =
      upstream?.isPrimary &&
      upstream.process.running &&
      !upstream.#stopping &&
      network.both(this.region, upstream.region);
    if (!upstream || !reachable || !upstream.disk.timeline) return this.#connectSoon();
    if (!canFollow(disk.timeline, disk.position, upstream.disk.timeline, upstream.disk.position))
      return this.#connectSoon();
    disk.timeline = lineAt(upstream.disk.timeline, disk.position);
    const connection = ++this.#connection;
    this.#receiver = { from: upstream, connection, life: upstream.process.life };
    this.#heardAt = this.#cluster.kernel.now;
    const sender: Sender = {
      standby: this,
      connection,
      flushed: disk.position,
      sending: false,
      sent: disk.position,
    };
    upstream.#senders.set(this.name, sender);
    upstream.#send(sender);
    this.#watchReceiver(connection);
  }

  /** `wal_receiver_timeout` and `wal_sender_timeout`: a connection over which nothing comes is given up; keepalives find lost messages. */
  #watchReceiver(connection: number): void {
    const { life } = this.process;
    this.#cluster.kernel.after(receiverTimeout / 3, () => {
      const upstream = this.#receiver?.connection === connection ? this.#receiver.from : null;
      // A standby that is stopped, or whose disk hangs, answers nothing.
      if (upstream && (this.process.stopped || this.diskHung)) {
        if (this.#cluster.kernel.now - this.#heardAt > receiverTimeout)
          upstream.#forget(this.name, connection);
        if (life === this.process.life) this.#watchReceiver(connection);
        return;
      }
      this.process.deliverTo(life, () => {
        const receiver = this.#receiver;
        if (receiver?.connection !== connection) return;
        const { from } = receiver;
        const sender = from.#senders.get(this.name);
        const alive = from.process.life === receiver.life && sender?.connection === connection;
        if (alive && from.process.running && this.#cluster.network.both(this.region, from.region)) {
          this.#heardAt = this.#cluster.kernel.now;
          from.#send(sender);
        } else if (!alive && this.#cluster.network.both(this.region, from.region))
          return this.disconnect(true);
        else if (this.#cluster.kernel.now - this.#heardAt > receiverTimeout) return this.disconnect(true);
        this.#watchReceiver(connection);
      });
    });
  }

  disconnect(again = false): void {
    const receiver = this.#receiver;
    if (!receiver) return;
    this.#receiver = null;
    const { from, connection } = receiver;
    // The primary notices at once where the connection can be closed, and else by its own timeout.
    const noticed = this.#cluster.network.both(this.region, from.region);
    const forget = () => from.#forget(this.name, connection);
    if (noticed) forget();
    else this.#cluster.kernel.after(receiverTimeout, forget);
    if (again) this.#connectSoon();
  }

  #forget(standby: string, connection: number): void {
    if (this.#senders.get(standby)?.connection === connection) this.#senders.delete(standby);
  }

  /** The primary's process has gone: its sockets are closed by the kernel of its host, if anybody can be told. */
  #hangUp(sender: Sender): void {
    const { standby, connection } = sender;
    this.#cluster.network.send(this.region, standby.region, () =>
      standby.process.deliver(() => {
        if (standby.#receiver?.connection === connection) standby.disconnect(true);
      }),
    );
  }

  #send(sender: Sender): void {
    if (sender.sending || sender.flushed >= this.disk.position) return;
    const { life } = this.process;
    const { position } = this.disk;
    const timeline = this.disk.timeline as Timeline;
    const { standby, connection } = sender;
    const arrived = () =>
      standby.process.deliver(() => {
        if (standby.#receiver?.connection !== connection) return;
        if (standby.diskHung) return;
        if (standby.diskFull) return standby.disconnect(true);
        standby.#heardAt = this.#cluster.kernel.now;
        if (position > standby.disk.position) {
          standby.disk.position = position;
          standby.disk.timeline = lineAt(timeline, position);
        }
        const flushed = standby.disk.position;
        const delivered = this.#cluster.network.send(standby.region, this.region, () =>
          this.process.deliverTo(life, () => {
            sender.sending = false;
            if (this.#senders.get(standby.name) !== sender) return;
            if (flushed > sender.flushed) sender.flushed = flushed;
            this.#send(sender);
            this.release();
          }),
        );
        if (!delivered) sender.sending = false;
      });
    sender.sending = this.#cluster.network.send(this.region, standby.region, arrived);
    // A message that is lost is found by the next keepalive.
    if (sender.sending)
      this.#cluster.kernel.after(receiverTimeout / 2, () => {
        if (sender.sending && sender.sent === position) sender.sending = false;
      });
    sender.sent = position;
  }

  // ---------------------------------------------------------------- what its agent asks

  inspect(): MemberSight {
    const { disk } = this;
    const up = this.process.alive;
    const hung = up && (this.process.stopped || this.diskHung);
    const state = this.rejoining
      ? "rejoining"
      : hung
        ? "hung"
        : up
          ? disk.role
          : disk.incarnation === null
            ? "absent"
            : "stopped";
    const primary = state === "primary";
    const replicas: MemberSight["replicas"] extends readonly (infer T)[] ? T[] : never = [];
    if (primary)
      for (const { standby, flushed } of this.#senders.values())
        replicas.push({ member: standby.name, streaming: true, flushed });
    return {
      state,
      incarnation: disk.incarnation,
      timeline: disk.timeline?.number ?? 0,
      position: disk.position,
      inserted: primary ? this.#written : 0,
      epoch: disk.role === "primary" ? disk.ledEpoch : disk.followEpoch,
      floor: disk.floor,
      publication: disk.publication,
      streaming: state === "standby" && this.streaming,
      frozen: disk.frozen,
      sealedBasis: disk.sealedBasis,
      sealedPosition: disk.sealedPosition,
      replicas,
      waitsFor: primary ? { acknowledgements: disk.acknowledgements, standbys: disk.standbys } : null,
      problem: "",
      ...(this.diskFull && { full: true }),
      ...(disk.damage && { damaged: disk.damage }),
    };
  }

  /** Receives from nobody from here on. */
  seal(basis: number): void {
    const { disk } = this;
    disk.sealedBasis = basis;
    disk.sealedPosition = disk.position;
    if (this.#cluster.withoutSeal) return;
    disk.upstream = null;
    disk.followEpoch = 0;
    this.disconnect();
  }

  newIncarnation(): string {
    return `${this.name}#${++this.#incarnations}`;
  }

  /** A standby becomes the primary of a history of its own, which begins with the row that carries the epoch. */
  lead(timeline: Timeline, op: LeadOp): void {
    const { disk } = this;
    this.disconnect();
    disk.upstream = null;
    disk.followEpoch = 0;
    disk.sealedBasis = 0;
    disk.frozen = false;
    disk.role = "primary";
    disk.ledEpoch = op.epoch;
    disk.acknowledgements = op.acknowledgements;
    disk.standbys = op.standbys;
    disk.timeline = timeline;
    disk.position += walBytesOfCanary;
    this.#written = disk.position;
  }

  /** Takes no more, and sends all that it has; who waits for a commit hears nothing. */
  beginStop(): void {
    this.#stopping = true;
    this.#waiting = [];
    this.disk.position = this.#written + walBytesOfShutdown;
    this.#written = this.disk.position;
    for (const sender of this.#senders.values()) {
      sender.sending = false;
      this.#send(sender);
    }
  }

  /** Whether somebody who is connected has not all of it yet. */
  get isAheadOfReplicas(): boolean {
    return [...this.#senders.values()].some((sender) => sender.flushed < this.disk.position);
  }
}
