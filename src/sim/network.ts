/** What lies between regions: delay, jitter, loss, and cuts in one direction or both. */
import type { Kernel, Micros } from "./kernel.ts";
import type { Random } from "./random.ts";

export class Network {
  readonly #kernel: Kernel;
  readonly #chance: Random;
  readonly #regions: readonly string[];
  readonly #base: Float64Array;
  readonly #cuts: Int32Array;
  readonly #extra: Float64Array;
  readonly #loss: Float64Array;
  /** Told after each change of what can be reached. */
  readonly watchers: (() => void)[] = [];

  constructor(kernel: Kernel, regions: readonly string[], oneWay: (a: number, b: number) => Micros) {
    this.#kernel = kernel;
    this.#chance = kernel.chance("network");
    this.#regions = regions;
    const count = regions.length;
    this.#base = new Float64Array(count * count);
    this.#cuts = new Int32Array(count * count);
    this.#extra = new Float64Array(count * count);
    this.#loss = new Float64Array(count * count);
    for (let a = 0; a < count; a++) for (let b = 0; b < count; b++) this.#base[a * count + b] = oneWay(a, b);
  }

  #index(from: string, to: string): number {
    return this.#regions.indexOf(from) * this.#regions.length + this.#regions.indexOf(to);
  }

  reaches(from: string, to: string): boolean {
    return this.#cuts[this.#index(from, to)] === 0;
  }

  both(a: string, b: string): boolean {
    return this.reaches(a, b) && this.reaches(b, a);
  }

  /** One way, with jitter. */
  delay(from: string, to: string): Micros {
    const index = this.#index(from, to);
    const base = (this.#base[index] as number) + (this.#extra[index] as number);
    return Math.round(base * (1 + 0.1 * this.#chance.fraction())) + 20;
  }

  /** Delivers `act` after the delay; false: lost, and nobody is told. */
  send(from: string, to: string, act: () => void): boolean {
    const index = this.#index(from, to);
    if (this.#cuts[index] !== 0) return false;
    const loss = this.#loss[index] as number;
    if (loss > 0 && this.#chance.chance(loss)) return false;
    this.#kernel.after(this.delay(from, to), act);
    return true;
  }

  cut(from: string, to: string): void {
    const index = this.#index(from, to);
    this.#cuts[index] = (this.#cuts[index] as number) + 1;
    this.changed();
  }

  mend(from: string, to: string): void {
    const index = this.#index(from, to);
    this.#cuts[index] = Math.max(0, (this.#cuts[index] as number) - 1);
    this.changed();
  }

  slow(from: string, to: string, extra: Micros): void {
    const index = this.#index(from, to);
    this.#extra[index] = Math.max(0, (this.#extra[index] as number) + extra);
  }

  lose(from: string, to: string, share: number): void {
    this.#loss[this.#index(from, to)] = share;
  }

  mendAll(): void {
    this.#cuts.fill(0);
    this.#extra.fill(0);
    this.#loss.fill(0);
    this.changed();
  }

  changed(): void {
    for (const watcher of this.watchers) watcher();
  }
}
