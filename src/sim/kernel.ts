/** Virtual time: nothing happens in a simulated world but what the kernel lets happen, one act after the other. */
import { Queue } from "./queue.ts";
import { Random } from "./random.ts";

/** Whole microseconds since the world began. */
export type Micros = number;

export const millis = (count: number): Micros => Math.round(count * 1000);
export const seconds = (count: number): Micros => Math.round(count * 1_000_000);

/** One line of the story: who (a symbol and a name), what. */
export interface StoryLine {
  readonly at: Micros;
  readonly who: string;
  readonly text: string;
  /** Told by the world (a fault), by an oracle, or by the parts themselves. */
  readonly voice: "fault" | "part" | "oracle";
}

/** A broken promise: which invariant, when, and what was seen. The run ends with the first. */
export interface Violation {
  readonly at: Micros;
  readonly invariant: string;
  readonly text: string;
}

export class Kernel {
  readonly seed: number;
  now: Micros = 0;
  /** Acts performed so far. */
  acts = 0;
  /** Of every act's time in order, and of what the parts mix in: two runs with one digest are the same run. */
  digest = 0x811c9dc5;
  violation: Violation | null = null;
  /** What must have happened in a set of runs for it to have proven something; each name -> how often. */
  readonly sometimes = new Map<string, number>();
  readonly story: StoryLine[] | null;
  readonly #queue = new Queue();
  readonly #streams = new Map<string, Random>();

  constructor(seed: number, tellStory: boolean) {
    this.seed = seed;
    this.story = tellStory ? [] : null;
  }

  chance(purpose: string): Random {
    let stream = this.#streams.get(purpose);
    if (!stream) {
      stream = new Random(this.seed, purpose);
      this.#streams.set(purpose, stream);
    }
    return stream;
  }

  at(time: Micros, act: () => void): void {
    this.#queue.push(time < this.now ? this.now : time, act);
  }

  after(span: Micros, act: () => void): void {
    this.#queue.push(this.now + span, act);
  }

  /** Lets happen what happens up to `end`, or to the first violation. */
  run(end: Micros): void {
    const queue = this.#queue;
    while (this.violation === null && queue.nextAt <= end) {
      const time = queue.nextAt;
      this.now = time;
      this.acts++;
      this.mix(time);
      queue.pop()();
    }
    if (this.violation === null) this.now = end;
  }

  mix(value: number): void {
    this.digest = Math.imul(this.digest ^ (value | 0), 0x01000193) ^ (this.digest >>> 15);
  }

  hit(name: string): void {
    this.sometimes.set(name, (this.sometimes.get(name) ?? 0) + 1);
  }

  tell(voice: StoryLine["voice"], who: string, text: string): void {
    this.story?.push({ at: this.now, who, text, voice });
  }

  violate(invariant: string, text: string): void {
    if (this.violation !== null) return;
    this.violation = { at: this.now, invariant, text };
    this.tell("oracle", invariant, text);
  }
}
