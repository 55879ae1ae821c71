/**
 * Addresses of names, kept: who was found once is found again while name servers are silent.
 *
 * - N1. Who is known is given at once, and asked for behind it: no connection of a failover waits for a name server. A name
 *   that moved costs the connections until it is asked for again, a minute at most.
 * - N2. A name is asked for once at a time, and two in all: a question that hangs holds one of libuv's four threads, and
 *   the same threads write files.
 * - N3. What is known is on disk, for whoever is started while names are lost.
 *
 * It takes the place of `dns.lookup`, by which Node finds whomever it connects to: one client that was forgotten would wait.
 */
import dns, { type LookupAddress, type LookupAllOptions, type LookupOptions } from "node:dns";
import { isIP } from "node:net";
import type { SpanMs } from "../../core/model/time.ts";
import { readFileIfAny, replaceFile } from "./atomic-file.ts";

export type Resolve = (
  host: string,
  options: LookupAllOptions,
  answer: (error: Error | null, addresses: readonly LookupAddress[]) => void,
) => void;

type Callback = (error: Error | null, address: string | LookupAddress[], family?: number) => void;

/** In the folder of what a process keeps between starts. */
export const namesFile = "names.json";

/** N1. Seldom enough for any name server. */
const learnedEveryMs: SpanMs = 60_000;
/** N2 */
const questionsMax = 2;

type Waiting = (error: Error | null) => void;

export class KeptNames {
  readonly #resolve: Resolve;
  readonly #file: string | null;
  readonly #known: Map<string, readonly LookupAddress[]>;
  /** Name that is asked for -> who waits for the answer. */
  readonly #questions = new Map<string, Waiting[]>();
  readonly #next: (() => void)[] = [];
  #asking = 0;

  /** `file`: N3; null: nothing is kept on disk. One that cannot be read is as good as none. */
  constructor(file: string | null, resolve: Resolve) {
    this.#resolve = resolve;
    this.#file = file;
    this.#known = new Map(Object.entries(file === null ? {} : readKept(file)));
  }

  /** Looks them up now, since whoever was never found is not known when it counts. */
  learn(hosts: Iterable<string>): void {
    for (const host of hosts) if (isIP(host) === 0) this.#ask(host, () => undefined);
  }

  /** As `dns.lookup`. */
  readonly lookup = (host: string, asked: LookupOptions | number | Callback, callback?: Callback): void => {
    const answer = (callback ?? asked) as Callback;
    const options: LookupOptions = typeof asked === "object" ? asked : {};
    const family = familyOf(typeof asked === "number" ? asked : options.family);
    const isAll = options.all === true;
    if (isIP(host) !== 0) return give(answer, [{ address: host, family: isIP(host) }], isAll);

    const known = this.#known.get(host);
    const decide = (addresses: readonly LookupAddress[] = [], error: Error | null = null): void => {
      const fitting = addresses.filter((one) => family === 0 || one.family === family);
      if (fitting.length > 0) give(answer, fitting, isAll);
      else answer(error ?? notFound(host), isAll ? [] : "");
    };
    if (known) {
      this.#ask(host, () => undefined);
      setImmediate(decide, known);
    } else this.#ask(host, (error) => decide(this.#known.get(host), error));
  };

  #ask(host: string, then: Waiting): void {
    const asked = this.#questions.get(host);
    if (asked) return void asked.push(then);
    const waiting = [then];
    this.#questions.set(host, waiting);
    const begin = (): void => {
      this.#asking++;
      this.#resolve(host, { all: true }, (error, addresses) => {
        this.#asking--;
        this.#questions.delete(host);
        if (!error && addresses.length > 0) this.#remember(host, addresses);
        for (const one of waiting) one(error);
        this.#next.shift()?.();
      });
    };
    if (this.#asking < questionsMax) begin();
    else this.#next.push(begin);
  }

  #remember(host: string, addresses: readonly LookupAddress[]): void {
    // Name servers turn the order round with each answer.
    const setOf = (all: readonly LookupAddress[] = []) =>
      all
        .map(({ address }) => address)
        .toSorted()
        .join();
    const isNew = setOf(this.#known.get(host)) !== setOf(addresses);
    this.#known.set(host, addresses);
    if (!isNew || this.#file === null) return;
    try {
      replaceFile(this.#file, `${JSON.stringify(Object.fromEntries(this.#known), null, 2)}\n`);
    } catch {
      // A disk that is full costs what is known at the next start, not this connection.
    }
  }
}

/** From here on whoever connects in this process goes by them. `hosts`: names and addresses that it may need. */
export function keepNames(file: string | null, hosts: Iterable<string>): void {
  const own = dns.lookup;
  const names = new KeptNames(file, (host, options, answer) => own(host, options, answer));
  const all = new Set(hosts);
  names.learn(all);
  setInterval(() => names.learn(all), learnedEveryMs).unref();
  dns.lookup = names.lookup as typeof dns.lookup;
}

function readKept(file: string): Readonly<Record<string, readonly LookupAddress[]>> {
  try {
    const kept: unknown = JSON.parse(readFileIfAny(file) ?? "{}");
    return Object.fromEntries(
      Object.entries(kept as object).filter(
        ([, addresses]) =>
          Array.isArray(addresses) && addresses.every((one) => isIP(one?.address) === one?.family),
      ),
    );
  } catch {
    return {};
  }
}

function familyOf(family: LookupOptions["family"]): number {
  return family === "IPv4" ? 4 : family === "IPv6" ? 6 : (family ?? 0);
}

function give(answer: Callback, addresses: readonly LookupAddress[], isAll: boolean): void {
  const [first] = addresses;
  if (isAll) answer(null, [...addresses]);
  else answer(null, first?.address ?? "", first?.family);
}

function notFound(host: string): Error {
  return Object.assign(new Error(`no address of ${host} is known`), { code: "ENOTFOUND", hostname: host });
}
