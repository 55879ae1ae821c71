/**
 * Which of etcd's endpoints is asked: the nearest of those that are not known to be silent (E4). No I/O, and no clock.
 */

interface Near {
  readonly url: string;
  /** A round trip, in steps: neighbours are alike, and keep the order that they were given in. */
  readonly step: number;
}

const STEP_MS = 5;
/** Who was not measured is as far as can be. */
const FARTHEST = 1_000_000;

/**
 * For the region of that index. Endpoints that are equally near keep the order that they are given in: if each region begins
 * with another, a member that vanishes with its region takes nobody else's watch with it.
 */
export function inTurn(urls: readonly string[], index: number): readonly string[] {
  const first = index % urls.length;
  return [...urls.slice(first), ...urls.slice(0, first)];
}

export class Choice {
  /** The nearest first. */
  #order: readonly Near[];
  #url: string;
  readonly #silent = new Map<string, number>();

  /** `urls`: at least one; until they are measured they are alike. */
  constructor(urls: readonly string[]) {
    this.#order = urls.map((url) => ({ url, step: 0 }));
    this.#url = urls[0] as string;
  }

  /** The one in use. */
  get url(): string {
    return this.#url;
  }

  /** Takes round trips in milliseconds; `null`: it did not answer. The one in use stays. */
  measured(roundTrips: ReadonlyMap<string, number | null>): void {
    this.#order = this.#order
      .map(({ url, step }) => {
        const ms = roundTrips.get(url);
        if (ms === undefined) return { url, step };
        return { url, step: ms === null ? FARTHEST : Math.floor(ms / STEP_MS) };
      })
      .sort((a, b) => a.step - b.step);
  }

  /** Those of which nothing is known: they did not answer when they were measured. */
  get unmeasured(): readonly string[] {
    return this.#order.filter(({ step }) => step === FARTHEST).map(({ url }) => url);
  }

  /** All are equally far. */
  get isEven(): boolean {
    return this.#order.every(({ step }) => step === this.#order[0]?.step);
  }

  /** Those that are nearer than the one in use, the nearest first. */
  get nearer(): readonly string[] {
    return this.#order.filter(({ step }) => step < this.#stepOf(this.#url)).map(({ url }) => url);
  }

  /** Whether the one in use is nearer than `url`, and is not silent. */
  isNearerThan(url: string): boolean {
    return this.#stepOf(this.#url) < this.#stepOf(url) && !this.#silent.has(this.#url);
  }

  /** To the endpoint and back, as measured: what is far is not silent. */
  wayMs(url: string): number {
    const step = this.#stepOf(url);
    return step === FARTHEST ? 0 : step * STEP_MS;
  }

  use(url: string): void {
    this.#url = url;
  }

  answered(url: string): void {
    this.#silent.delete(url);
  }

  /** `url` fell silent at `at`, by a clock that does not go back. E4: it is asked last, and the longest silent first. */
  leave(url: string, at: number): void {
    this.#silent.set(url, at);
    if (url !== this.#url) return;
    const since = this.#order.map((each) => this.#silent.get(each.url) ?? Number.NEGATIVE_INFINITY);
    this.#url = (this.#order[since.indexOf(Math.min(...since))] as Near).url;
  }

  get silent(): readonly string[] {
    return [...this.#silent.keys()];
  }

  /** When `url` was left; undefined: it has answered since. */
  silentSince(url: string): number | undefined {
    return this.#silent.get(url);
  }

  #stepOf(url: string): number {
    return this.#order.find((each) => each.url === url)?.step ?? 0;
  }
}
