/** What happens next: a heap ordered by time, then by sequence, so that two things at one instant keep their order. */

/** Times are whole microseconds. Typed arrays, since millions of these a second pass through. */
export class Queue {
  #times = new Float64Array(1024);
  #sequences = new Float64Array(1024);
  #acts: (() => void)[] = [];
  #size = 0;
  #sequence = 0;

  get size(): number {
    return this.#size;
  }

  /** Time of the earliest; Infinity: nothing is left. */
  get nextAt(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : (this.#times[0] as number);
  }

  push(at: number, act: () => void): void {
    if (this.#size === this.#times.length) this.#grow();
    const times = this.#times;
    const sequences = this.#sequences;
    const acts = this.#acts;
    const sequence = this.#sequence++;
    let hole = this.#size++;
    while (hole > 0) {
      const parent = (hole - 1) >> 2;
      // The newcomer has the highest sequence: at one instant it goes behind.
      if ((times[parent] as number) <= at) break;
      times[hole] = times[parent] as number;
      sequences[hole] = sequences[parent] as number;
      acts[hole] = acts[parent] as () => void;
      hole = parent;
    }
    times[hole] = at;
    sequences[hole] = sequence;
    acts[hole] = act;
  }

  pop(): () => void {
    const times = this.#times;
    const sequences = this.#sequences;
    const acts = this.#acts;
    const earliest = acts[0] as () => void;
    const last = --this.#size;
    const at = times[last] as number;
    const sequence = sequences[last] as number;
    const act = acts[last] as () => void;
    acts.length = last;
    if (last === 0) return earliest;
    let hole = 0;
    for (;;) {
      const first = hole * 4 + 1;
      if (first >= last) break;
      let least = first;
      const end = Math.min(first + 4, last);
      for (let child = first + 1; child < end; child++) {
        const a = times[child] as number;
        const b = times[least] as number;
        if (a < b || (a === b && (sequences[child] as number) < (sequences[least] as number))) least = child;
      }
      const leastAt = times[least] as number;
      if (at < leastAt || (at === leastAt && sequence < (sequences[least] as number))) break;
      times[hole] = leastAt;
      sequences[hole] = sequences[least] as number;
      acts[hole] = acts[least] as () => void;
      hole = least;
    }
    times[hole] = at;
    sequences[hole] = sequence;
    acts[hole] = act;
    return earliest;
  }

  #grow(): void {
    const times = new Float64Array(this.#times.length * 2);
    const sequences = new Float64Array(times.length);
    times.set(this.#times);
    sequences.set(this.#sequences);
    this.#times = times;
    this.#sequences = sequences;
  }
}
