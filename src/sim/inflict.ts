/** A fault in, a world that suffers it, and that has it taken away again in the end. */
import type { LeaseRecord, RequestRecord } from "../core/model/record.ts";
import { recordKeys } from "../core/model/record.ts";
import { type Fault, forGood } from "./fault.ts";
import { type Micros, millis } from "./kernel.ts";
import { storeName } from "./shapes.ts";
import type { Site, World } from "./world.ts";

export class Inflictor {
  /** Kind -> how often. */
  readonly inflicted = new Map<string, number>();
  #requests = 0;
  #backup: ReturnType<World["store"]["snapshot"]> | null = null;
  #moments = new Map<string, number>();
  readonly #world: World;
  readonly #reactive: Fault[] = [];
  readonly #undoing = new Set<() => void>();

  constructor(world: World) {
    this.#world = world;
    world.onMoment.push((moment) => this.#onMoment(moment));
  }

  plan(faults: readonly Fault[]): void {
    for (const fault of faults) {
      if (fault.kind === "store-restored")
        this.#world.kernel.at(fault.at - millis(fault.size), () => {
          this.#backup = this.#world.store.snapshot();
        });
      if (fault.after) this.#reactive.push(fault);
      else this.#world.kernel.at(fault.at, () => this.inflict(fault));
    }
  }

  #onMoment(moment: string): void {
    const count = (this.#moments.get(moment) ?? 0) + 1;
    this.#moments.set(moment, count);
    for (const fault of this.#reactive)
      if (fault.after?.moment === moment && fault.after.count === count)
        this.#world.kernel.after(fault.at, () => this.inflict(fault));
  }

  #healed = false;
  /** Regions in which something is broken for good. */
  readonly lost = new Set<Site>();

  /** Takes back all that lasts, and starts all that is down. Nothing goes wrong from then on. */
  healAll(): void {
    this.#healed = true;
    const world = this.#world;
    for (const undo of [...this.#undoing]) undo();
    this.#undoing.clear();
    world.network.mendAll();
    world.store.down = false;
    world.store.slowness = 1;
    world.store.loseReplies = 0;
    world.store.deaf.clear();
    world.store.mute.clear();
    for (const site of world.siteList) if (!this.lost.has(site)) this.#restore(site);
    world.store.reconsider();
  }

  /** The same for a core of hosts, while one region breaks for good (TigerBeetle's liveness phase). */
  healAllBut(broken: Fault): void {
    this.healAll();
    this.#healed = false;
    this.inflict(broken);
    this.#healed = true;
  }

  #restore(site: Site): void {
    site.wokeAt = this.#world.kernel.now;
    if (!site.host.up) return this.#powerOn(site);
    if (!site.agent.process.alive) site.agent.start();
    if (site.gate && !site.gate.process.alive) site.gate.start();
    if (site.fencer && !site.fencer.process.alive) site.fencer.start(false);
    if (site.edge && !site.edge.process.alive) site.edge.process.start();
  }

  inflict(fault: Fault): void {
    if (this.#healed) return;
    const world = this.#world;
    const { kernel, network, store } = world;
    const sites = world.siteList;
    const site = fault.a < 0 ? this.#holder() : (sites[fault.a % sites.length] as Site);
    if (site === null) return;
    if (fault.lasts >= forGood) this.lost.add(site);
    const other = sites[fault.b % sites.length] as Site;
    const { postgres, gate, fencer, agent, edge } = site;
    this.inflicted.set(fault.kind, (this.inflicted.get(fault.kind) ?? 0) + 1);
    kernel.tell("fault", "fault", describeFault(fault, site.region, other.region));
    switch (fault.kind) {
      case "kill-region":
        if (!site.host.up) return;
        this.#powerOff(site);
        return this.#until(fault.lasts, () => this.#powerOn(site));
      case "pause-region": {
        // The processes go on in any order.
        const parts = [postgres, gate?.process, fencer?.process, agent, edge?.process];
        const processes = kernel
          .chance("pause")
          .shuffled(parts.filter((part) => part !== null && part !== undefined));
        for (const part of processes) "stop" in part ? part.stop() : part.pause();
        store.voters.get(site.region)?.stop();
        network.changed();
        return this.#until(fault.lasts, () => {
          site.wokeAt = kernel.now;
          for (const part of processes) part.resume();
          store.voters.get(site.region)?.resume();
          network.changed();
        });
      }
      case "crash-agent":
        if (!agent.process.alive) return;
        agent.kill();
        return this.#until(fault.lasts, () => {
          if (site.host.up && !agent.process.alive) agent.start();
        });
      case "pause-agent":
        agent.stop();
        return this.#until(fault.lasts, () => agent.resume());
      case "kill-postgres":
        postgres?.kill();
        return;
      case "pause-postgres":
        if (!postgres) return;
        postgres.pause();
        return this.#until(fault.lasts, () => {
          site.wokeAt = kernel.now;
          postgres.resume();
        });
      case "kill-fencer":
        if (!fencer?.process.alive) return;
        fencer.process.kill();
        return this.#until(fault.lasts, () => {
          site.wokeAt = kernel.now;
          if (site.host.up && !fencer.process.alive) fencer.start(false);
        });
      case "pause-fencer":
        if (!fencer) return;
        fencer.process.stop();
        return this.#until(fault.lasts, () => {
          site.wokeAt = kernel.now;
          fencer.process.resume();
        });
      case "kill-gate":
        if (!gate?.process.alive) return;
        gate.kill();
        return this.#until(fault.lasts, () => {
          if (site.host.up && !gate.process.alive) gate.start();
        });
      case "pause-gate":
        if (!gate) return;
        gate.process.stop();
        return this.#until(fault.lasts, () => gate.process.resume());
      case "kill-edge":
        if (!edge?.process.alive) return;
        edge.process.kill();
        return this.#until(fault.lasts, () => {
          if (site.host.up && !edge.process.alive) edge.process.start();
        });
      case "cut":
        if (site === other) return;
        return this.#cut(
          [
            [site, other],
            [other, site],
          ],
          fault.lasts,
        );
      case "cut-one-way":
        if (site === other) return;
        return this.#cut([[site, other]], fault.lasts);
      case "isolate":
        return this.#cut(
          sites
            .filter((far) => far !== site)
            .flatMap((far): [Site, Site][] => [
              [site, far],
              [far, site],
            ]),
          fault.lasts,
        );
      case "delay": {
        const extra = millis(fault.size);
        network.slow(site.region, other.region, extra);
        return this.#until(fault.lasts, () => network.slow(site.region, other.region, -extra));
      }
      case "loss":
        network.lose(site.region, other.region, fault.size);
        return this.#until(fault.lasts, () => network.lose(site.region, other.region, 0));
      case "flap": {
        const span = Math.max(millis(10), millis(fault.size));
        for (let at = 0; at < fault.lasts && at < span * 400; at += 2 * span)
          kernel.after(at, () => {
            if (!this.#healed)
              this.#cut(
                [
                  [site, other],
                  [other, site],
                ],
                span,
              );
          });
        return;
      }
      case "store-down":
        store.down = true;
        return this.#until(fault.lasts, () => {
          store.down = false;
          store.reconsider();
        });
      case "store-deaf":
        store.deaf.add(site.region);
        return this.#until(fault.lasts, () => {
          store.deaf.delete(site.region);
          store.reconsider();
        });
      case "store-mute":
        store.mute.add(site.region);
        return this.#until(fault.lasts, () => store.mute.delete(site.region));
      case "store-slow":
        store.slowness = fault.size;
        return this.#until(fault.lasts, () => {
          store.slowness = 1;
        });
      case "store-loses-replies":
        store.loseReplies = fault.size;
        return this.#until(fault.lasts, () => {
          store.loseReplies = 0;
        });
      case "store-voter":
      case "store-leader": {
        const voter = store.voters.get(fault.kind === "store-leader" ? store.leader : site.region);
        if (fault.kind === "store-leader") store.electedFrom = kernel.now + millis(fault.size);
        voter?.stop();
        store.reconsider();
        return this.#until(fault.lasts, () => {
          voter?.resume();
          store.reconsider();
        });
      }
      case "disk-slow":
        if (!postgres) return;
        postgres.diskSlowness = fault.size;
        return this.#until(fault.lasts, () => {
          postgres.diskSlowness = 1;
        });
      case "disk-hung":
        if (!postgres) return;
        postgres.diskHung = true;
        return this.#until(fault.lasts, () => {
          site.wokeAt = kernel.now;
          postgres.unhang();
        });
      case "disk-full":
        if (!postgres) return;
        postgres.diskFull = true;
        return this.#until(fault.lasts, () => {
          postgres.diskFull = false;
        });
      case "wipe":
        if (!postgres) return;
        world.oracle.onWiped();
        postgres.wipe();
        return;
      case "restore":
        if (!postgres) return;
        world.oracle.onWiped();
        postgres.restore(postgres.disk.position - kernel.chance("rollback").below(20_000));
        return;
      case "rollback": {
        const lease = store.records.get(recordKeys.lease(storeName))?.record as
          | LeaseRecord
          | null
          | undefined;
        const member = lease?.phase === "committed" ? world.members.get(lease.holder) : undefined;
        if (!lease || !member?.isPrimary || member.disk.ledEpoch !== lease.epoch) return;
        world.oracle.onWiped();
        member.rollBack(lease.durable.position - 1 - kernel.chance("rollback").below(5000));
        return;
      }
      case "damage":
        if (postgres) postgres.disk.damage = { failures: 1, since: 0 };
        return;
      case "lose-lease":
        if (store.records.get(recordKeys.lease(storeName))?.record)
          store.put(recordKeys.lease(storeName), null);
        return;
      case "clock-jump":
        site.host.wallShiftMs += fault.size;
        return;
      case "store-restored":
      case "restart-all": {
        for (const each of sites) if (each.host.up) this.#powerOff(each);
        if (fault.kind === "store-restored" && this.#backup) {
          store.restore(this.#backup);
          world.oracle.onStoreRestored();
        }
        const lastPublication = Math.max(
          0,
          ...sites
            .filter(({ postgres }) => postgres?.disk.floor === world.oracle.highestCommitted)
            .map(({ postgres }) => postgres?.disk.publication ?? 0),
        );
        for (const each of kernel.chance("restart").shuffled(sites)) {
          // Only who was promoted last, or saw the last publication, knows that the store is too old: it is told of first, or
          // nobody can know.
          const { floor = 0, publication = 0 } = each.postgres?.disk ?? {};
          const knows =
            floor > world.oracle.highestCommitted ||
            (floor === world.oracle.highestCommitted && publication >= lastPublication);
          const waitMs = fault.kind === "store-restored" && !knows ? 5000 : 0;
          kernel.after(millis(waitMs + kernel.chance("restart").skewed(1, 5000)), () => {
            if (!each.host.up) this.#powerOn(each);
          });
        }
        return;
      }
      case "switchover":
      case "failback":
      case "reseed":
        return this.ask(fault.kind, fault.kind === "failback" ? null : site.region);
      default:
        return fault.kind satisfies never;
    }
  }

  #holder(): Site | null {
    const lease = this.#world.store.records.get(recordKeys.lease(storeName))?.record as
      | LeaseRecord
      | null
      | undefined;
    const region = lease && this.#world.members.get(lease.holder)?.region;
    return region ? this.#world.site(region) : null;
  }

  /** A person's wish, written into the store as the API does. */
  ask(kind: RequestRecord["kind"], toRegion: string | null): void {
    const world = this.#world;
    world.request({
      schema: 1,
      id: `${kind}-${++this.#requests}`,
      kind,
      dataStore: storeName,
      toRegion,
      ifEpoch: 0,
      by: "operator",
      why: "the simulator asks",
      at: 0,
      status: "pending",
      detail: "",
    });
  }

  #cut(pairs: readonly (readonly [Site, Site])[], lasts: Micros): void {
    const { network } = this.#world;
    for (const [from, to] of pairs) network.cut(from.region, to.region);
    this.#until(lasts, () => {
      for (const [from, to] of pairs) network.mend(from.region, to.region);
    });
  }

  #powerOff(site: Site): void {
    site.host.up = false;
    site.agent.kill();
    site.postgres?.kill();
    site.gate?.kill();
    site.fencer?.process.kill();
    site.edge?.process.kill();
    this.#world.network.changed();
  }

  #powerOn(site: Site): void {
    if (site.host.up) return;
    const chance = this.#world.kernel.chance("boot");
    site.host.boot(chance.between(1000, 100_000));
    if (site.postgres) site.postgres.diskHung = false;
    this.#world.startSite(site, chance.between(50, 2000));
    this.#world.network.changed();
  }

  /** S15: whatever lasts ends by itself; and once only. */
  #until(lasts: Micros, undo: () => unknown): void {
    let done = false;
    const once = () => {
      if (done) return;
      done = true;
      this.#undoing.delete(once);
      undo();
    };
    if (lasts >= forGood) return;
    this.#undoing.add(once);
    this.#world.kernel.after(lasts, once);
  }
}

export function describeFault(fault: Fault, a: string, b: string): string {
  const lasts = fault.lasts > 0 ? ` for ${(fault.lasts / 1_000_000).toFixed(2)} s` : "";
  const size = fault.size > 0 ? ` (${Number(fault.size.toFixed(2))})` : "";
  const between = fault.kind.startsWith("cut") || ["delay", "loss", "flap"].includes(fault.kind);
  return `${fault.kind} ${between ? `${a} - ${b}` : fault.kind.startsWith("store-") || fault.kind === "restart-all" ? "" : a}${size}${lasts}`.replace(
    "  ",
    " ",
  );
}
