/**
 * The control store as agents meet it: one linear history of records with revisions, compare-and-swap, a watch for each
 * agent, and every way in which an answer may not come. `embedded` behaves as SQLite on one machine, `etcd` as voters in
 * every region with a leader that changes.
 */
import type { SharedRecord, WriteOutcome } from "../core/machine/event.ts";
import { type Kernel, type Micros, millis } from "./kernel.ts";
import type { Network } from "./network.ts";
import { Process } from "./process.ts";
import type { Random } from "./random.ts";

export interface Stored {
  readonly key: string;
  readonly revision: number;
  readonly record: SharedRecord | null;
}

/** A compare-and-swap; `over`: what stands may be this as well. */
export interface Swap {
  readonly key: string;
  readonly expect: number;
  readonly record: SharedRecord | null;
  readonly over?: SharedRecord | undefined;
}

export interface Watcher {
  readonly region: string;
  readonly process: Process;
  readonly life: number;
  /** Told of each change, in order. */
  readonly onChange: (stored: Stored) => void;
  /** Alive, and nothing new. */
  readonly onHeard: () => void;
}

interface OpenWatch extends Watcher {
  /** Index in the log of the next change to tell. */
  next: number;
  busy: boolean;
  toldAt: Micros;
}

const logMax = 4096;
const signOfLifeEvery = millis(300);

export class SharedStore {
  readonly kind: "embedded" | "etcd";
  revision = 0;
  readonly records = new Map<string, Stored>();
  /** A voter in each region (etcd). */
  readonly voters = new Map<string, Process>();
  leader: string;
  /** Votes are split, or disks are slow: nobody is elected before (etcd). */
  electedFrom: Micros = 0;
  /** Regions for which it does not answer (embedded), and all of them. */
  readonly deaf = new Set<string>();
  /** Regions whose writes do not arrive, while they hear of those of others. */
  readonly mute = new Set<string>();
  down = false;
  /** Factor on its latency. */
  slowness = 1;
  /** Share of successful writes whose reply is lost. */
  loseReplies = 0;
  readonly #kernel: Kernel;
  readonly #network: Network;
  readonly #regions: readonly string[];
  readonly #isUp: (region: string) => boolean;
  readonly #asText: boolean;
  readonly #chance: Random;
  readonly #onApplied: (key: string, before: Stored | undefined, after: Stored) => void;
  #log: Stored[] = [];
  #logStart = 0;
  #watches: OpenWatch[] = [];
  #electing = false;

  constructor(options: {
    readonly kernel: Kernel;
    readonly network: Network;
    readonly kind: "embedded" | "etcd";
    readonly regions: readonly string[];
    readonly isUp: (region: string) => boolean;
    readonly asText: boolean;
    readonly onApplied: (key: string, before: Stored | undefined, after: Stored) => void;
  }) {
    this.#kernel = options.kernel;
    this.#network = options.network;
    this.kind = options.kind;
    this.#regions = options.regions;
    this.#isUp = options.isUp;
    this.#asText = options.asText;
    this.#onApplied = options.onApplied;
    this.#chance = options.kernel.chance("store");
    for (const region of options.regions) {
      const voter = new Process();
      voter.start();
      this.voters.set(region, voter);
    }
    this.leader = this.#chance.pick(options.regions);
    options.network.watchers.push(() => this.reconsider());
  }

  // ---------------------------------------------------------------- what agents ask

  compareAndSwap(
    region: string,
    swap: Swap,
    reply: (outcome: WriteOutcome, current: Stored | null) => void,
  ): void {
    if (this.mute.has(region)) return;
    const path = this.#path(region);
    if (path === null) {
      // A proposal that reached a voter without a leader may be applied when there is one again; mostly it is lost.
      if (this.#chance.chance(0.1)) this.#applyLater(region, swap, millis(5000), false);
      return;
    }
    const late = this.slowness > 1 && this.#chance.chance(0.3) ? millis(this.#chance.skewed(10, 4000)) : 0;
    this.#kernel.after(path.there + late, () => {
      if (this.#path(region) === null && this.#chance.chance(0.7)) {
        if (this.#chance.chance(0.3)) this.#applyLater(region, swap, millis(3000), true);
        return;
      }
      const standing = this.records.get(swap.key) ?? null;
      const written = this.#fits(swap) ? this.#apply(swap.key, swap.record) : null;
      if (written && this.loseReplies > 0 && this.#chance.chance(this.loseReplies)) {
        this.#kernel.hit("a reply of a successful write was lost");
        return;
      }
      this.#kernel.after(path.back, () => {
        if (this.#path(region) === null) {
          if (written) this.#kernel.hit("a reply of a successful write was lost");
          return;
        }
        if (written) reply({ kind: "succeeded", revision: written.revision }, null);
        else reply({ kind: "conflict" }, standing);
      });
    });
  }

  list(region: string, reply: (records: readonly Stored[], next: number) => void): void {
    const path = this.#path(region);
    if (path === null) return;
    this.#kernel.after(path.there + path.back, () => {
      if (this.#path(region) === null) return;
      reply([...this.records.values()], this.#logStart + this.#log.length);
    });
  }

  watch(watcher: Watcher, from: number): void {
    const open: OpenWatch = { ...watcher, next: from, busy: false, toldAt: this.#kernel.now };
    this.#watches.push(open);
    this.#pump(open);
    this.#progress(open);
  }

  /** An operator's tool, or the seed of the world: written at once. */
  put(key: string, record: SharedRecord | null): Stored {
    return this.#apply(key, record);
  }

  /** A copy of all that is in it, as a backup would have it. */
  snapshot(): { readonly records: readonly Stored[]; readonly revision: number } {
    return { records: [...this.records.values()], revision: this.revision };
  }

  /** Somebody restores a backup: revisions go back too. Nobody watches meanwhile. */
  restore(backup: { readonly records: readonly Stored[]; readonly revision: number }): void {
    this.records.clear();
    for (const stored of backup.records) this.records.set(stored.key, stored);
    this.revision = backup.revision;
    this.#log = [];
    this.#logStart = 0;
    this.#watches = [];
  }

  // ---------------------------------------------------------------- the store's own life

  canBeReached(region: string): boolean {
    return this.#path(region) !== null;
  }

  hasQuorum(): boolean {
    return this.kind === "embedded" ? !this.down : !this.down && this.#canLead(this.leader);
  }

  /** The leader may have lost its majority: another one is elected after a while, if there can be one. */
  reconsider(): void {
    for (const watch of this.#watches) this.#pump(watch);
    if (this.kind === "embedded" || this.#electing || this.#canLead(this.leader)) return;
    this.#electing = true;
    const span = Math.max(millis(this.#chance.between(500, 1500)), this.electedFrom - this.#kernel.now);
    this.#kernel.after(span, () => {
      this.#electing = false;
      if (this.#canLead(this.leader)) return;
      const able = this.#regions.filter((region) => this.#canLead(region));
      if (able.length === 0) return;
      this.leader = this.#chance.pick(able);
      this.#kernel.hit("the store's leader changed");
      this.#kernel.tell("part", "store", `${this.leader} leads the store`);
      this.reconsider();
    });
  }

  #canLead(region: string): boolean {
    if (!this.#lives(region)) return false;
    let voters = 0;
    for (const other of this.#regions)
      if (this.#lives(other) && (other === region || this.#network.both(region, other))) voters++;
    return voters > this.#regions.length / 2;
  }

  #lives(region: string): boolean {
    return this.#isUp(region) && (this.voters.get(region)?.running ?? false);
  }

  #path(region: string): { readonly there: Micros; readonly back: Micros } | null {
    if (this.down || this.deaf.has(region)) return null;
    const chance = this.#chance;
    if (this.kind === "embedded") {
      const span = millis(0.15 + chance.fraction() ** 4 * 4) * this.slowness;
      return { there: Math.round(span), back: 50 };
    }
    if (!this.#canLead(this.leader)) return null;
    const network = this.#network;
    // A majority's nearest voters must have written it to disk.
    const disk = millis(0.5 + chance.fraction() ** 4 * 10) * this.slowness;
    const votes = this.#regions
      .filter((other) => other !== this.leader && this.#lives(other) && network.both(this.leader, other))
      .map((other) => network.delay(this.leader, other) + network.delay(other, this.leader))
      .sort((a, b) => a - b);
    const commit = disk + (votes[Math.floor(this.#regions.length / 2) - 1] ?? 0);
    const via = (voter: string) =>
      this.#lives(voter) &&
      (voter === region || network.both(region, voter)) &&
      (voter === this.leader || network.both(voter, this.leader));
    const voter = via(region) ? region : this.#regions.find(via);
    if (voter === undefined) return null;
    const leg = (from: string, to: string) => (from === to ? 0 : network.delay(from, to));
    return {
      there: Math.round(leg(region, voter) + leg(voter, this.leader) + commit),
      back: leg(this.leader, voter) + leg(voter, region) + 100,
    };
  }

  #applyLater(
    region: string,
    swap: Swap,
    within: Micros,
    /** It had reached a voter; else it must get there first. */
    arrived: boolean,
  ): void {
    this.#kernel.after(this.#chance.below(within), () => {
      if (!this.hasQuorum() || (!arrived && this.#path(region) === null)) return;
      if (!this.#fits(swap)) return;
      this.#kernel.hit("an unknown write was applied later");
      this.#kernel.tell(
        "part",
        "store",
        `applies a write of ${region} to ${swap.key} that nobody waits for any more`,
      );
      this.#apply(swap.key, swap.record);
    });
  }

  #fits({ key, expect, over }: Swap): boolean {
    const standing = this.records.get(key);
    if ((standing?.record ? standing.revision : 0) === expect) return true;
    if (over === undefined || JSON.stringify(standing?.record) !== JSON.stringify(over)) return false;
    this.#kernel.hit("a write went over one whose outcome nobody had waited for");
    return true;
  }

  #apply(key: string, given: SharedRecord | null): Stored {
    const before = this.records.get(key);
    const record = this.#asText ? (JSON.parse(JSON.stringify(given)) as SharedRecord | null) : given;
    const stored = { key, revision: ++this.revision, record };
    this.records.set(key, stored);
    this.#log.push(stored);
    this.#onApplied(key, before, stored);
    for (const watch of this.#watches) this.#pump(watch);
    if (this.#log.length > logMax) {
      this.#logStart += this.#log.length - logMax / 2;
      this.#log = this.#log.slice(this.#log.length - logMax / 2);
    }
    return stored;
  }

  #pump(watch: OpenWatch): void {
    if (watch.busy) return;
    const end = this.#logStart + this.#log.length;
    if (watch.next >= end) return;
    if (watch.process.life !== watch.life) return void this.#close(watch);
    const path = this.#path(watch.region);
    if (path === null) return;
    watch.busy = true;
    this.#kernel.after(path.back + Math.round(this.#chance.below(3000) * this.slowness), () => {
      watch.busy = false;
      if (watch.process.life !== watch.life) return void this.#close(watch);
      if (this.#path(watch.region) === null) return;
      watch.toldAt = this.#kernel.now;
      if (watch.next < this.#logStart) {
        // The history that it needs is gone: all records anew.
        this.#kernel.hit("a watch began anew from a snapshot");
        const records = [...this.records.values()].sort((a, b) => a.revision - b.revision);
        watch.next = this.#logStart + this.#log.length;
        for (const stored of records) watch.process.deliverTo(watch.life, () => watch.onChange(stored));
        return;
      }
      for (; watch.next < end; watch.next++) {
        const stored = this.#log[watch.next - this.#logStart] as Stored;
        watch.process.deliverTo(watch.life, () => watch.onChange(stored));
      }
      this.#pump(watch);
    });
  }

  #progress(watch: OpenWatch): void {
    this.#kernel.after(signOfLifeEvery, () => {
      if (watch.process.life !== watch.life) return;
      if (this.#kernel.now - watch.toldAt >= signOfLifeEvery) {
        this.#pump(watch);
        if (!watch.busy && this.#givesSignOfLife(watch.region))
          watch.process.deliverTo(watch.life, watch.onHeard);
      }
      this.#progress(watch);
    });
  }

  /** A voter of etcd tells its watchers that there is nothing new whether or not it hears of what is. */
  #givesSignOfLife(region: string): boolean {
    if (this.kind === "embedded" || this.deaf.has(region)) return this.#path(region) !== null;
    return this.#lives(region) || this.#path(region) !== null;
  }

  #close(watch: OpenWatch): void {
    this.#watches = this.#watches.filter((other) => other !== watch);
  }
}
