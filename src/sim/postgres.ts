/**
 * A PostgreSQL member as its agent, its replicas and its clients meet it: WAL positions, timelines, receivers, a quorum of
 * standbys that commits wait for, crash recovery, and a disk that keeps what it kept.
 */

import type { MemberOp } from "../core/machine/command.ts";
import type { MemberOutcome, MemberSight } from "../core/machine/event.ts";
import type { Member } from "../core/model/topology.ts";
import { type Kernel, type Micros, millis } from "./kernel.ts";
import type { Network } from "./network.ts";
import { Process } from "./process.ts";
import type { Random } from "./random.ts";
import { canFollow, type Timeline } from "./timeline.ts";

/** What PostgreSQL's data folder and Holdfast's own files beside it keep. */
interface Disk {
  incarnation: string | null;
  timeline: Timeline | null;
  /** Flushed. */
  position: number;
  role: "standby" | "primary";
  /** As a primary: the epoch that it leads. */
  ledEpoch: number;
  floor: number;
  upstream: string | null;
  followEpoch: number;
  sealedBasis: number;
  sealedPosition: number;
  frozen: boolean;
  acknowledgements: number;
  standbys: readonly string[];
}

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

export class Postgres {
  readonly member: Member;
  readonly region: string;
  readonly process = new Process();
  readonly disk: Disk = {
    incarnation: null,
    timeline: null,
    position: 0,
    role: "standby",
    ledEpoch: 0,
    floor: 0,
    upstream: null,
    followEpoch: 0,
    sealedBasis: 0,
    sealedPosition: 0,
    frozen: false,
    acknowledgements: 0,
    standbys: [],
  };
  /** Set while the data folder is being made anew. */
  rejoining = false;
  /** Its disk does not answer: nothing is flushed, and its processes cannot be killed (state D). */
  diskHung = false;
  diskSlowness = 1;
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
  #onUnhung: (() => void)[] = [];
  #incarnations = 0;
  #effect = 0;

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

  get waitingCommits(): number {
    return this.#waiting.length;
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
    this.#effect++;
    if (this.process.alive) {
      this.process.kill();
      this.#waiting = [];
      this.#written = this.disk.position;
      this.#disconnectReceiver();
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

  unhang(): void {
    this.diskHung = false;
    const waiting = this.#onUnhung;
    this.#onUnhung = [];
    for (const act of waiting) act();
  }

  /** The disk is lost: nothing is left of this member but its name. */
  wipe(): void {
    this.kill();
    this.#eraseData();
    this.disk.floor = 0;
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
    this.disk.incarnation = this.#newIncarnation();
    this.disk.sealedBasis = 0;
    this.disk.sealedPosition = 0;
  }

  #eraseData(): void {
    const { disk } = this;
    disk.incarnation = null;
    disk.timeline = null;
    disk.position = 0;
    disk.role = "standby";
    disk.ledEpoch = 0;
    disk.upstream = null;
    disk.followEpoch = 0;
    disk.sealedBasis = 0;
    disk.sealedPosition = 0;
    disk.frozen = false;
    disk.acknowledgements = 0;
    disk.standbys = [];
  }

  // ---------------------------------------------------------------- commits

  /** A client's write; `acknowledge` is called when the commit returns, if it ever does. */
  commit(acknowledge: (timeline: Timeline, position: number) => void): void {
    if (!this.isPrimary || this.#stopping) return;
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
          this.#onUnhung.push(flush);
          return;
        }
        this.#flushing = false;
        this.disk.position = this.#written;
        for (const sender of this.#senders.values()) this.#send(sender);
        this.#release();
      });
    this.#cluster.kernel.after(Math.round(millis(0.3 + this.#chance.fraction()) * this.diskSlowness), flush);
  }

  /** PostgreSQL releases waiting commits in the order of their positions, as far as the quorum has flushed. */
  #release(): void {
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
      this.process.deliverTo(life, () => this.#connect());
      if (life !== this.process.life && this.isStandby) this.#connectSoon();
    });
  }

  #connect(): void {
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
    disk.timeline = upstream.disk.timeline;
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
          return this.#disconnectReceiver(true);
        else if (this.#cluster.kernel.now - this.#heardAt > receiverTimeout)
          return this.#disconnectReceiver(true);
        this.#watchReceiver(connection);
      });
    });
  }

  #disconnectReceiver(again = false): void {
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
        if (standby.#receiver?.connection === connection) standby.#disconnectReceiver(true);
      }),
    );
  }

  #send(sender: Sender): void {
    if (sender.sending || sender.flushed >= this.disk.position) return;
    const { life } = this.process;
    const position = this.disk.position;
    const { standby, connection } = sender;
    const arrived = () =>
      standby.process.deliver(() => {
        if (standby.#receiver?.connection !== connection) return;
        if (standby.diskHung) return;
        standby.#heardAt = this.#cluster.kernel.now;
        if (position > standby.disk.position) standby.disk.position = position;
        const flushed = standby.disk.position;
        const delivered = this.#cluster.network.send(standby.region, this.region, () =>
          this.process.deliverTo(life, () => {
            sender.sending = false;
            if (this.#senders.get(standby.name) !== sender) return;
            if (flushed > sender.flushed) sender.flushed = flushed;
            this.#send(sender);
            this.#release();
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
      streaming: state === "standby" && this.streaming,
      frozen: disk.frozen,
      sealedBasis: disk.sealedBasis,
      sealedPosition: disk.sealedPosition,
      replicas,
      waitsFor: primary ? { acknowledgements: disk.acknowledgements, standbys: disk.standbys } : null,
      problem: "",
    };
  }

  /** Performs `op`; `reply` comes when it has an end, and not at all while PostgreSQL hangs. */
  perform(op: MemberOp, isWanted: () => boolean, reply: (outcome: MemberOutcome) => void): void {
    const succeed = (more: object = {}) =>
      this.#later(0.2, 1, () => reply({ kind: "succeeded", op: op.kind, ...more }));
    const fail = (because: string) =>
      this.#later(0.2, 1, () => reply({ kind: "failed", op: op.kind, because }));
    const effect = this.#effect;
    /** Takes effect after a while, unless the member was killed meanwhile. */
    const takes = (leastMs: number, mostMs: number, act: () => void, otherwise = "the member was ended") =>
      this.#later(leastMs, mostMs, () => {
        const perform = () => {
          if (effect !== this.#effect) return fail(otherwise);
          if (this.diskHung) {
            this.#onUnhung.push(perform);
            return;
          }
          act();
        };
        if (!this.process.alive) return perform();
        let done = false;
        const once = () => {
          if (done) return;
          done = true;
          perform();
        };
        this.process.deliver(once);
        // Whoever waits for a stopped server hears of its death, as its connection is reset; mostly.
        if (!done && this.#chance.chance(0.7)) this.onKilled(once);
      });
    switch (op.kind) {
      case "initialize":
        return this.#initialize(op.epoch, takes, succeed, fail);
      case "rejoin":
        return this.#rejoin(op.upstream.member, op.upstream.epoch, isWanted, succeed, fail);
      case "start-sealed":
        if (this.process.alive || this.disk.incarnation === null)
          return fail(this.process.alive ? "it is running" : "there is no data");
        return takes(50, 500, () => {
          if (this.process.alive) return fail("it is running");
          this.disk.upstream = null;
          this.disk.followEpoch = 0;
          this.disk.frozen = false;
          this.start("standby");
          this.#seal(op.basis);
          succeed({ position: this.disk.position });
        });
      case "seal":
        if (!this.isStandby) return fail("it is not a running standby");
        return takes(3, 30, () => {
          if (!this.isStandby) return fail("it is not a running standby");
          this.#seal(op.basis);
          succeed({ position: this.disk.position });
        });
      case "follow":
        if (!this.isStandby) return fail("it is not a running standby");
        return takes(10, 80, () => this.#follow(op, succeed, fail));
      case "promote":
        return this.#promote(op, takes, succeed, fail);
      case "set-quorum":
        return takes(7, 25, () => {
          if (!this.isPrimary || this.disk.ledEpoch !== op.epoch)
            return fail(`it does not lead epoch ${op.epoch}`);
          this.disk.acknowledgements = op.acknowledgements;
          this.disk.standbys = op.standbys;
          this.#release();
          succeed();
        });
      case "freeze":
      case "thaw":
        if (!this.process.alive) return fail("it is not running");
        return takes(7, 25, () => {
          if (!this.process.alive) return fail("it is not running");
          this.disk.frozen = op.kind === "freeze";
          this.#release();
          succeed();
        });
      case "drain":
        return takes(5, 60, () =>
          this.#chance.chance(0.9) ? succeed() : fail("2 sessions have a transaction open"),
        );
      case "prepare-stop":
        return takes(20, 300, () => succeed());
      case "stop-in-order":
        return this.#stopInOrder(isWanted, takes, succeed, fail);
      case "end":
        return this.#later(5, 40, () => {
          const end = () => {
            // Whatever is under way must not bring it back: the folder has one keeper.
            this.kill();
            succeed();
          };
          if (this.diskHung && this.process.alive) this.#onUnhung.push(end);
          else end();
        });
      default:
        return op satisfies never;
    }
  }

  #later(leastMs: number, mostMs: number, act: () => void): void {
    const span = leastMs + (mostMs - leastMs) * this.#chance.fraction() ** 3;
    this.#cluster.kernel.after(Math.round(millis(span) * this.diskSlowness), act);
  }

  #seal(basis: number): void {
    const { disk } = this;
    disk.sealedBasis = basis;
    disk.sealedPosition = disk.position;
    if (this.#cluster.withoutSeal) return;
    disk.upstream = null;
    disk.followEpoch = 0;
    this.#disconnectReceiver();
  }

  #initialize(epoch: number, takes: Takes, succeed: Succeed, fail: Fail): void {
    const { disk } = this;
    const done = () =>
      succeed({ position: disk.position, incarnation: disk.incarnation as string, timeline: 1 });
    if (disk.incarnation !== null) {
      if (disk.floor !== epoch || disk.ledEpoch !== epoch) return fail("there is data already");
      if (this.isPrimary) return done();
      return takes(50, 300, () => {
        if (!this.process.alive) this.start("primary");
        done();
      });
    }
    takes(500, 1500, () => {
      if (disk.incarnation !== null) return fail("there is data already");
      disk.incarnation = this.#newIncarnation();
      disk.floor = Math.max(disk.floor, epoch);
      disk.ledEpoch = epoch;
      disk.timeline = this.#newTimeline(1, null, 0, epoch);
      disk.position = 1_000_000;
      this.start("primary");
      this.#cluster.onPromoted(this, epoch);
      done();
    });
  }

  #promote(op: Extract<MemberOp, { kind: "promote" }>, takes: Takes, succeed: Succeed, fail: Fail): void {
    const { disk } = this;
    const done = () =>
      succeed({
        position: disk.position,
        incarnation: disk.incarnation as string,
        timeline: disk.timeline?.number ?? 0,
      });
    if (this.isPrimary && disk.ledEpoch === op.epoch) return done();
    if (!this.isStandby) return fail("it is not a running standby");
    if (op.epoch <= disk.floor && op.epoch !== disk.floor)
      return fail(`epoch ${op.epoch} is below the floor ${disk.floor}`);
    disk.floor = Math.max(disk.floor, op.epoch);
    takes(30, 600, () => {
      if (this.isPrimary && disk.ledEpoch === op.epoch) return done();
      if (!this.isStandby || !disk.timeline) return fail("it is not a running standby");
      if (disk.floor > op.epoch) return fail(`epoch ${op.epoch} is below the floor ${disk.floor}`);
      this.#disconnectReceiver();
      disk.upstream = null;
      disk.followEpoch = 0;
      disk.sealedBasis = 0;
      disk.frozen = false;
      disk.role = "primary";
      disk.ledEpoch = op.epoch;
      disk.acknowledgements = op.acknowledgements;
      disk.standbys = op.standbys;
      disk.timeline = this.#newTimeline(disk.timeline.number + 1, disk.timeline, disk.position, op.epoch);
      disk.position += walBytesOfCanary;
      this.#written = disk.position;
      this.#cluster.onPromoted(this, op.epoch);
      done();
    });
  }

  #newTimeline(number: number, parent: Timeline | null, forkedAt: number, epoch: number): Timeline {
    const { timelines } = this.#cluster;
    const timeline: Timeline = {
      id: timelines.length + 1,
      number,
      parent,
      forkedAt,
      member: this.name,
      epoch,
      acknowledged: -1,
      recent: [],
    };
    timelines.push(timeline);
    return timeline;
  }

  #newIncarnation(): string {
    return `${this.name}#${++this.#incarnations}`;
  }

  #follow(op: Extract<MemberOp, { kind: "follow" }>, succeed: Succeed, fail: Fail): void {
    const { disk } = this;
    const { member: upstream, epoch } = op.upstream;
    if (!this.isStandby || !disk.timeline) return fail("it is not a running standby");
    const primary = this.#cluster.members.get(upstream);
    const reachable =
      primary?.isPrimary &&
      primary.process.running &&
      this.#cluster.network.both(this.region, primary.region);
    if (
      primary?.disk.timeline &&
      reachable &&
      !canFollow(disk.timeline, disk.position, primary.disk.timeline, primary.disk.position)
    ) {
      // Nobody compares: PostgreSQL goes by the number of the timeline, and two of them may bear one number.
      if (op.promotedAt !== null) this.#cluster.onDiverged(this, upstream);
      return fail(`diverged from ${upstream}`);
    }
    this.#cluster.onFollowed(this, upstream, epoch);
    this.#disconnectReceiver();
    disk.upstream = upstream;
    disk.followEpoch = epoch;
    disk.sealedBasis = 0;
    disk.sealedPosition = 0;
    this.#connect();
    succeed();
  }

  #rejoin(upstream: string, epoch: number, isWanted: () => boolean, succeed: Succeed, fail: Fail): void {
    const { disk } = this;
    const { kernel, network } = this.#cluster;
    const primary = this.#cluster.members.get(upstream);
    if (!primary || this.rejoining) return fail("it is being made anew already");
    this.kill();
    this.rejoining = true;
    const effect = this.#effect;
    const end = (act: () => void) => {
      this.rejoining = false;
      act();
    };
    const stillOn = () => effect === this.#effect && isWanted();
    const reachable = () =>
      primary.isPrimary && primary.process.running && network.both(this.region, primary.region);
    const finish = () => {
      if (!stillOn()) return end(() => fail("it was ended"));
      disk.upstream = upstream;
      disk.followEpoch = epoch;
      disk.sealedBasis = 0;
      disk.sealedPosition = 0;
      disk.frozen = false;
      this.start("standby");
      this.#connect();
      const startedAt = kernel.now;
      const life = this.process.life;
      const poll = () => {
        if (life !== this.process.life || !isWanted()) return end(() => fail("it was ended"));
        if (this.streaming) return end(() => succeed({ incarnation: disk.incarnation as string }));
        if (kernel.now - startedAt > millis(10_000)) return end(() => fail("it does not stream"));
        kernel.after(millis(50), poll);
      };
      poll();
    };
    this.#later(50, 300, () => {
      if (!stillOn()) return end(() => fail("it was ended"));
      this.#cluster.onFollowed(this, upstream, epoch);
      if (!reachable()) return end(() => fail(`${upstream} cannot be reached`));
      const whole = disk.incarnation !== null && disk.timeline !== null;
      const from = primary.disk.timeline as Timeline;
      if (whole && canFollow(disk.timeline as Timeline, disk.position, from, primary.disk.position))
        return finish();
      const rewinds = whole && this.#chance.chance(0.7);
      kernel.hit(rewinds ? "rewind" : whole ? "seeded anew" : "seeded");
      // Half-made data is no data: a copy that is interrupted now begins again from nothing.
      const kept = disk.incarnation;
      this.#eraseData();
      this.#later(500, 4000, () => {
        if (!stillOn()) return end(() => fail("it was ended"));
        if (!reachable()) return end(() => fail(`${upstream} was lost on the way`));
        disk.incarnation = rewinds ? kept : this.#newIncarnation();
        disk.timeline = primary.disk.timeline;
        disk.position = primary.disk.position;
        disk.floor = Math.max(disk.floor, 0);
        finish();
      });
    });
  }

  #stopInOrder(isWanted: () => boolean, takes: Takes, succeed: Succeed, fail: Fail): void {
    if (!this.isPrimary) return fail("it is not a running primary");
    takes(20, 200, () => {
      if (!this.isPrimary) return fail("it is not a running primary");
      this.#stopping = true;
      this.#waiting = [];
      this.disk.position = this.#written + walBytesOfShutdown;
      this.#written = this.disk.position;
      for (const sender of this.#senders.values()) {
        sender.sending = false;
        this.#send(sender);
      }
      const life = this.process.life;
      const poll = () => {
        if (life !== this.process.life || !isWanted()) return;
        const behind = [...this.#senders.values()].some((sender) => sender.flushed < this.disk.position);
        if (behind || this.process.stopped) return this.#cluster.kernel.after(millis(10), poll);
        const { position } = this.disk;
        this.kill();
        succeed({ position });
      };
      poll();
    });
  }
}

type Takes = (leastMs: number, mostMs: number, act: () => void, otherwise?: string) => void;
type Succeed = (more?: object) => void;
type Fail = (because: string) => void;
