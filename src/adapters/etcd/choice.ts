/**
 * Which of etcd's endpoints is asked: the nearest of those that are not known to be silent (E4). No I/O, and no clock.
 */

/** Neighbours are alike, and keep the order that they are given in. */
const stepMs = 5;
/** Who has never answered is as far as can be. */
const farthest = Number.MAX_SAFE_INTEGER;

/**
 * For the region of that index. Endpoints that are equally near keep the order that they are given in: if each region begins
 * with another, a member that vanishes with its region takes nobody else's watch with it.
 */
export function inTurn(urls: readonly string[], index: number): readonly string[] {
  const first = index % urls.length;
  return [...urls.slice(first), ...urls.slice(0, first)];
}

export class Choice {
  readonly #given: readonly string[];
  /** Of a round trip, the quickest that was measured. */
  readonly #steps = new Map<string, number>();
  readonly #silent = new Map<string, number>();
  /** The nearest first. */
  #order: readonly string[];
  #url: string;

  /** `urls`: at least one. */
  constructor(urls: readonly string[]) {
    this.#given = urls;
    this.#order = urls;
    this.#url = urls[0] as string;
  }

  /** The one in use. */
  get url(): string {
    return this.#url;
  }

  /** Takes round trips in milliseconds; `null`: it did not answer. Of several the quickest tells of distance. The one in use stays. */
  measured(roundTrips: ReadonlyMap<string, number | null>): void {
    for (const [url, ms] of roundTrips)
      if (ms !== null) this.#steps.set(url, Math.min(this.#stepOf(url), Math.floor(ms / stepMs)));
    this.#order = this.#given.toSorted((a, b) => this.#stepOf(a) - this.#stepOf(b));
  }

  /** Those that have never answered. */
  get unmeasured(): readonly string[] {
    return this.#given.filter((url) => !this.#steps.has(url));
  }

  /** Those that would rather be asked than the one in use, the best first. */
  get better(): readonly string[] {
    return this.#order.slice(0, this.#order.indexOf(this.#url));
  }

  /** Whether the one in use would rather be asked than `url`, and is not silent. */
  isBetterThan(url: string): boolean {
    return this.#order.indexOf(this.#url) < this.#order.indexOf(url) && !this.#silent.has(this.#url);
  }

  /** To the endpoint and back, as measured: what is far is not silent. */
  wayMs(url: string): number {
    return (this.#steps.get(url) ?? 0) * stepMs;
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
    const since = this.#order.map((each) => this.#silent.get(each) ?? Number.NEGATIVE_INFINITY);
    this.#url = this.#order[since.indexOf(Math.min(...since))] as string;
  }

  get silent(): readonly string[] {
    return [...this.#silent.keys()];
  }

  /** When `url` was left; undefined: it has answered since. */
  silentSince(url: string): number | undefined {
    return this.#silent.get(url);
  }

  #stepOf(url: string): number {
    return this.#steps.get(url) ?? farthest;
  }
}
