/** Chance from a seed: sfc32, one independent stream per purpose, so that taking a fault away does not reshuffle the rest. */

/** Source: PractRand's sfc32 (Chris Doty-Humphrey); 128 bits of state, passes BigCrush. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number, purpose: string) {
    let hash = 0x811c9dc5;
    for (let index = 0; index < purpose.length; index++)
      hash = Math.imul(hash ^ purpose.charCodeAt(index), 0x01000193);
    this.#a = seed >>> 0;
    this.#b = Math.floor(seed / 2 ** 32) >>> 0;
    this.#c = hash >>> 0;
    for (let round = 0; round < 15; round++) this.next();
  }

  /** A whole number, 0 to 2^32 - 1. */
  next(): number {
    const result = (this.#a + this.#b + this.#counter++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + result;
    return result >>> 0;
  }

  /** 0 <= x < 1. */
  fraction(): number {
    return this.next() / 2 ** 32;
  }

  /** A whole number, 0 <= x < `end`. */
  below(end: number): number {
    return Math.floor(this.fraction() * end);
  }

  /** A whole number, `least` <= x <= `most`. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  /** Between the two, small ones more often: as waiting times and lengths of faults are. */
  skewed(least: number, most: number): number {
    return Math.floor(least * (most / least) ** this.fraction());
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  shuffled<T>(list: readonly T[]): T[] {
    const result = [...list];
    for (let index = result.length - 1; index > 0; index--) {
      const other = this.below(index + 1);
      const kept = result[index] as T;
      result[index] = result[other] as T;
      result[other] = kept;
    }
    return result;
  }
}
