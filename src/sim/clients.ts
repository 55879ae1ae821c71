/** Those for whom it is all done: clients that write through an edge or a session kept open, and edges that hold a table. */
import type { RoutingTable } from "../core/model/routing.ts";
import { accept } from "../core/traffic/accept.ts";
import { type Kernel, type Micros, millis } from "./kernel.ts";
import type { Network } from "./network.ts";
import { Process } from "./process.ts";
import type { Random } from "./random.ts";
import type { Site, World } from "./world.ts";

/** An HTTP edge of a region: the table on its disk outlives its process. */
export class Edge {
  readonly process = new Process();
  table: RoutingTable | null = null;
  readonly #digest: (text: string) => string;
  readonly #onRefused: (because: string) => void;
  /** Highest epoch of the data store that it has sent a write to (S5). */
  forwardedEpoch = 0;

  constructor(digest: (text: string) => string, onRefused: (because: string) => void) {
    this.#digest = digest;
    this.#onRefused = onRefused;
  }

  /** Whether it goes by this table now. */
  apply(table: RoutingTable): boolean {
    const outcome = accept(this.table, table, this.#digest);
    if (outcome.kind === "refuse") {
      this.#onRefused(outcome.because);
      return false;
    }
    if (outcome.kind === "take") this.table = table;

    return true;
  }
}

interface Session {
  readonly site: Site;
  readonly number: number;
}

const retryEvery: Micros = millis(200);
/** Shorter than any promise, so that what is measured is the service and not the patience of its clients. */
const timeout: Micros = millis(600);

/** Writes, thinks, writes again; `pooled` ones stay on their session until it is cut. */
export class Client {
  readonly region: string;
  readonly pooled: boolean;
  readonly #world: World;
  readonly #kernel: Kernel;
  readonly #network: Network;
  readonly #chance: Random;
  readonly #thinkMs: number;
  #session: Session | null = null;
  #turn = 0;

  constructor(world: World, region: string, pooled: boolean, thinkMs: number) {
    this.#world = world;
    this.#kernel = world.kernel;
    this.#network = world.network;
    this.#chance = world.kernel.chance(`client ${region}`);
    this.region = region;
    this.pooled = pooled;
    this.#thinkMs = thinkMs;
  }

  begin(): void {
    this.#kernel.after(millis(this.#chance.below(this.#thinkMs * 2)), () => this.#write());
  }

  #think(): void {
    this.#turn++;
    this.#kernel.after(millis(this.#thinkMs * (0.5 + this.#chance.fraction())), () => this.#write());
  }

  #write(): void {
    const session = this.#openSession();
    if (!session) return this.#kernel.after(retryEvery, () => this.#write());
    const { site, number } = session;
    const turn = ++this.#turn;
    const sent = this.#network.send(this.region, site.region, () => {
      const { gate, postgres } = site;
      if (!gate || !postgres) return;
      gate.process.deliver(() => {
        if (number !== gate.sessions || !gate.admits() || !postgres.isPrimary) {
          this.#session = null;
          return this.#fail(turn, retryEvery);
        }
        postgres.process.deliver(() =>
          postgres.commit((timeline, position) => {
            const releasedAt = this.#kernel.now;
            gate.passOut(number, () => {
              this.#world.onAcknowledged(site, timeline, position, releasedAt);
              if (turn === this.#turn) this.#think();
            });
          }),
        );
      });
    });
    if (!sent) {
      this.#session = null;
      return this.#fail(turn, retryEvery);
    }
    this.#kernel.after(timeout, () => {
      if (turn !== this.#turn) return;
      this.#session = null;
      this.#fail(turn, 0);
    });
  }

  #fail(turn: number, pause: Micros): void {
    if (turn !== this.#turn) return;
    this.#turn++;
    this.#kernel.after(pause, () => this.#write());
  }

  #openSession(): Session | null {
    const kept = this.#session;
    if (kept && this.pooled && kept.site.gate?.process.alive && kept.number === kept.site.gate.sessions)
      return kept;
    this.#session = null;
    const site = this.#world.writerFor(this.region);
    if (!site?.gate?.process.alive) return null;
    this.#session = { site, number: site.gate.sessions };
    return this.#session;
  }
}
