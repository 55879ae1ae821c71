/** What an agent orders of the member beside it: each takes its time, may fail, and has no effect once the member is ended. */
import type { MemberOp } from "../core/machine/command.ts";
import type { MemberOutcome } from "../core/machine/event.ts";
import { raiseFloor } from "./disk.ts";
import { millis } from "./kernel.ts";
import type { Cluster, Postgres } from "./postgres.ts";
import type { Random } from "./random.ts";
import { canFollow, type Timeline } from "./timeline.ts";

/** How often work on a slow disk looks whether it is slow still. */
const workStepMs = 20;

/** What begins with a file that has to be on disk. */
const writesFiles: ReadonlySet<MemberOp["kind"]> = new Set([
  "initialize",
  "rejoin",
  "start-sealed",
  "seal",
  "follow",
  "promote",
  "set-quorum",
  "freeze",
  "thaw",
]);

export class Operations {
  readonly #member: Postgres;
  readonly #cluster: Cluster;
  readonly #chance: Random;

  constructor(cluster: Cluster, member: Postgres) {
    this.#member = member;
    this.#cluster = cluster;
    this.#chance = cluster.kernel.chance(`postgres ${member.name}`);
  }

  /** Performs `op`; `reply` comes when it has an end, and not at all while PostgreSQL hangs. */
  perform(op: MemberOp, isWanted: () => boolean, reply: (outcome: MemberOutcome) => void): void {
    const succeed = (more: object = {}) =>
      this.#later(0.2, 1, () => reply({ kind: "succeeded", op: op.kind, ...more }));
    const fail = (because: string) =>
      this.#later(0.2, 1, () => reply({ kind: "failed", op: op.kind, because }));
    if (this.#member.diskFull && writesFiles.has(op.kind)) return fail("no space left on device");
    const effect = this.#member.effect;
    /** Takes effect after a while, unless the member was killed meanwhile. */
    const takes = (leastMs: number, mostMs: number, act: () => void, otherwise = "the member was ended") =>
      this.#later(leastMs, mostMs, () => {
        const perform = () => {
          if (effect !== this.#member.effect) return fail(otherwise);
          if (this.#member.diskHung) {
            this.#member.onUnhung(perform);
            return;
          }
          act();
        };
        if (!this.#member.process.alive) return perform();
        let done = false;
        const once = () => {
          if (done) return;
          done = true;
          perform();
        };
        this.#member.process.deliver(once);
        // Whoever waits for a stopped server hears of its death, as its connection is reset; mostly.
        if (!done && this.#chance.chance(0.7)) this.#member.onKilled(once);
      });
    switch (op.kind) {
      case "initialize":
        return this.#initialize(op.epoch, takes, succeed, fail);
      case "rejoin":
        return this.#rejoin(op, isWanted, succeed, fail);
      case "start-sealed":
        if (this.#member.process.alive || this.#member.disk.incarnation === null)
          return fail(this.#member.process.alive ? "it is running" : "there is no data");
        return takes(50, 500, () => {
          if (this.#member.process.alive) return fail("it is running");
          this.#member.disk.upstream = null;
          this.#member.disk.followEpoch = 0;
          this.#member.disk.frozen = false;
          this.#member.start("standby");
          this.#member.seal(op.basis);
          succeed({ position: this.#member.disk.position });
        });
      case "seal":
        if (!this.#member.isStandby) return fail("it is not a running standby");
        return takes(3, 30, () => {
          if (!this.#member.isStandby) return fail("it is not a running standby");
          this.#member.seal(op.basis);
          succeed({ position: this.#member.disk.position });
        });
      case "follow":
        if (!this.#member.isStandby) return fail("it is not a running standby");
        return takes(10, 80, () => this.#follow(op, succeed, fail));
      case "promote":
        return this.#promote(op, takes, succeed, fail);
      case "set-quorum":
        return takes(7, 25, () => {
          if (!this.#member.isPrimary || this.#member.disk.ledEpoch !== op.epoch)
            return fail(`it does not lead epoch ${op.epoch}`);
          this.#member.waitFor(op);
          succeed();
        });
      case "freeze":
      case "thaw":
        if (!this.#member.process.alive) return fail("it is not running");
        return takes(7, 25, () => {
          if (!this.#member.process.alive) return fail("it is not running");
          this.#member.disk.frozen = op.kind === "freeze";
          this.#member.release();
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
            this.#member.kill();
            succeed();
          };
          if (this.#member.diskHung && this.#member.process.alive) this.#member.onUnhung(end);
          else end();
        });
      default:
        return op satisfies never;
    }
  }

  #later(leastMs: number, mostMs: number, act: () => void): void {
    this.#work(leastMs + (mostMs - leastMs) * this.#chance.fraction() ** 3, act);
  }

  /** A disk that is slow for a moment slows what is done in that moment, and not all that was begun in it. */
  #work(leftMs: number, act: () => void): void {
    const { kernel } = this.#cluster;
    const slowness = this.#member.diskSlowness;
    if (slowness === 1 || leftMs <= workStepMs)
      return kernel.after(Math.round(millis(leftMs) * slowness), act);
    kernel.after(Math.round(millis(workStepMs) * slowness), () => this.#work(leftMs - workStepMs, act));
  }

  #initialize(epoch: number, takes: Takes, succeed: Succeed, fail: Fail): void {
    const { disk } = this.#member;
    const done = () =>
      succeed({ position: disk.position, incarnation: disk.incarnation as string, timeline: 1 });
    if (disk.incarnation !== null) {
      if (disk.floor !== epoch || disk.ledEpoch !== epoch) return fail("there is data already");
      if (this.#member.isPrimary) return done();
      return takes(50, 300, () => {
        if (!this.#member.process.alive) this.#member.start("primary");
        done();
      });
    }
    takes(500, 1500, () => {
      if (disk.incarnation !== null) return fail("there is data already");
      disk.incarnation = this.#member.newIncarnation();
      raiseFloor(disk, epoch);
      disk.ledEpoch = epoch;
      disk.timeline = this.#newTimeline(1, null, 0, epoch);
      disk.position = 1_000_000;
      this.#member.start("primary");
      this.#cluster.onPromoted(this.#member, epoch);
      done();
    });
  }

  #promote(op: Extract<MemberOp, { kind: "promote" }>, takes: Takes, succeed: Succeed, fail: Fail): void {
    const { disk } = this.#member;
    const done = () =>
      succeed({
        position: disk.position,
        incarnation: disk.incarnation as string,
        timeline: disk.timeline?.number ?? 0,
      });
    const isPromoted = () => this.#member.isPrimary && disk.ledEpoch === op.epoch;
    // Whoever asks again may have another set in mind: an agent that was started anew since.
    const again = () => {
      disk.frozen = false;
      this.#member.waitFor(op);
      done();
    };
    if (isPromoted())
      return takes(7, 25, () => (isPromoted() ? again() : fail(`it does not lead epoch ${op.epoch}`)));
    if (!this.#member.isStandby) return fail("it is not a running standby");
    if (op.epoch <= disk.floor && op.epoch !== disk.floor)
      return fail(`epoch ${op.epoch} is below the floor ${disk.floor}`);
    raiseFloor(disk, op.epoch);
    takes(30, 600, () => {
      if (isPromoted()) return again();
      if (!this.#member.isStandby || !disk.timeline) return fail("it is not a running standby");
      if (disk.floor > op.epoch) return fail(`epoch ${op.epoch} is below the floor ${disk.floor}`);
      const { number } = disk.timeline;
      this.#member.lead(this.#newTimeline(number + 1, disk.timeline, disk.position, op.epoch), op);
      this.#cluster.onPromoted(this.#member, op.epoch);
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
      member: this.#member.name,
      epoch,
      acknowledged: -1,
      recent: [],
    };
    timelines.push(timeline);
    return timeline;
  }

  #follow(op: Extract<MemberOp, { kind: "follow" }>, succeed: Succeed, fail: Fail): void {
    const { disk } = this.#member;
    const { member: upstream, epoch } = op.upstream;
    if (!this.#member.isStandby || !disk.timeline) return fail("it is not a running standby");
    if (op.promotedAt !== null && disk.position > op.promotedAt)
      return fail(`its own WAL ends beyond the promotion of ${upstream}`);
    const primary = this.#cluster.members.get(upstream);
    const reachable =
      primary?.isPrimary &&
      primary.process.running &&
      this.#cluster.network.both(this.#member.region, primary.region);
    if (
      primary?.disk.timeline &&
      reachable &&
      !canFollow(disk.timeline, disk.position, primary.disk.timeline, primary.disk.position)
    ) {
      // Nobody compares: PostgreSQL goes by the number of the timeline, and two of them may bear one number.
      if (op.promotedAt !== null) this.#cluster.onDiverged(this.#member, upstream);
      return fail(`diverged from ${upstream}`);
    }
    this.#cluster.onFollowed(this.#member, upstream, epoch);
    this.#member.disconnect();
    disk.upstream = upstream;
    disk.followEpoch = epoch;
    raiseFloor(disk, epoch);
    disk.sealedBasis = 0;
    disk.sealedPosition = 0;
    this.#member.connect();
    succeed();
  }

  #rejoin(
    op: Extract<MemberOp, { kind: "rejoin" }>,
    isWanted: () => boolean,
    succeed: Succeed,
    fail: Fail,
  ): void {
    const { member: upstream, epoch } = op.upstream;
    const { disk } = this.#member;
    const { kernel, network } = this.#cluster;
    const primary = this.#cluster.members.get(upstream);
    if (!primary || this.#member.rejoining) return fail("it is being made anew already");
    this.#member.kill();
    this.#member.rejoining = true;
    const effect = this.#member.effect;
    const end = (act: () => void) => {
      this.#member.rejoining = false;
      act();
    };
    const stillOn = () => effect === this.#member.effect && isWanted();
    const reachable = () =>
      primary.isPrimary && primary.process.running && network.both(this.#member.region, primary.region);
    const finish = () => {
      if (!stillOn()) return end(() => fail("it was ended"));
      disk.upstream = upstream;
      disk.followEpoch = epoch;
      raiseFloor(disk, epoch);
      disk.sealedBasis = 0;
      disk.sealedPosition = 0;
      disk.frozen = false;
      this.#member.start("standby");
      this.#member.connect();
      const startedAt = kernel.now;
      const life = this.#member.process.life;
      const poll = () => {
        if (life !== this.#member.process.life || !isWanted()) return end(() => fail("it was ended"));
        if (this.#member.streaming) return end(() => succeed({ incarnation: disk.incarnation as string }));
        if (kernel.now - startedAt > millis(10_000)) return end(() => fail("it does not stream"));
        kernel.after(millis(50), poll);
      };
      poll();
    };
    this.#later(50, 300, () => {
      if (!stillOn()) return end(() => fail("it was ended"));
      this.#cluster.onFollowed(this.#member, upstream, epoch);
      if (!reachable()) return end(() => fail(`${upstream} cannot be reached`));
      const whole = op.reseed === undefined && disk.incarnation !== null && disk.timeline !== null;
      const from = primary.disk.timeline as Timeline;
      if (whole && canFollow(disk.timeline as Timeline, disk.position, from, primary.disk.position))
        return finish();
      const rewinds = whole && this.#chance.chance(0.7);
      kernel.hit(rewinds ? "rewind" : whole ? "seeded anew" : "seeded");
      // Half-made data is no data: a copy that is interrupted now begins again from nothing.
      const { incarnation: kept, damage } = disk;
      this.#member.eraseData();
      this.#later(500, 4000, () => {
        if (!stillOn()) return end(() => fail("it was ended"));
        if (!reachable()) return end(() => fail(`${upstream} was lost on the way`));
        disk.incarnation = rewinds ? kept : this.#member.newIncarnation();
        disk.damage = rewinds ? damage : null;
        disk.timeline = primary.disk.timeline;
        disk.position = primary.disk.position;
        finish();
      });
    });
  }

  #stopInOrder(isWanted: () => boolean, takes: Takes, succeed: Succeed, fail: Fail): void {
    if (!this.#member.isPrimary) return fail("it is not a running primary");
    takes(20, 200, () => {
      if (!this.#member.isPrimary) return fail("it is not a running primary");
      this.#member.beginStop();
      const life = this.#member.process.life;
      const poll = () => {
        if (life !== this.#member.process.life || !isWanted()) return;
        if (this.#member.isAheadOfReplicas || this.#member.process.stopped)
          return this.#cluster.kernel.after(millis(10), poll);
        const { position } = this.#member.disk;
        this.#member.kill();
        succeed({ position });
      };
      poll();
    });
  }
}

type Takes = (leastMs: number, mostMs: number, act: () => void, otherwise?: string) => void;
type Succeed = (more?: object) => void;
type Fail = (because: string) => void;
