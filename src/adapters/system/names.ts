/**
 * Addresses of names, kept: who was found once is found again while name servers are silent.
 *
 * - N1. What the resolver says in time holds; where it is late or finds nothing, what it said last does.
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

/** A resolver of its own network answers within some milliseconds; a connection that waits so long is still in time. */
const patienceMs: SpanMs = 100;
/** N2 */
const questionsMax = 2;

interface Question {
  /** It has had its time: who asks now does not wait for it. */
  isLate: boolean;
  readonly waiting: ((error: Error | null) => void)[];
}

export class KeptNames {
  readonly #resolve: Resolve;
  readonly #file: string | null;
  readonly #known: Map<string, readonly LookupAddress[]>;
  readonly #questions = new Map<string, Question>();
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

    let given = false;
    let timer: NodeJS.Timeout | undefined;
    const decide = (error: Error | null): void => {
      if (given) return;
      given = true;
      clearTimeout(timer);
      const addresses = (this.#known.get(host) ?? []).filter((one) => family === 0 || one.family === family);
      if (addresses.length > 0) give(answer, addresses, isAll);
      else answer(error ?? notFound(host), isAll ? [] : "");
    };
    const question = this.#ask(host, decide);
    const giveUp = (): void => {
      question.isLate = true;
      if (this.#known.has(host)) decide(null);
    };
    if (!given) timer = setTimeout(giveUp, question.isLate ? 0 : patienceMs);
  };

  #ask(host: string, then: (error: Error | null) => void): Question {
    const running = this.#questions.get(host);
    if (running) {
      running.waiting.push(then);
      return running;
    }
    const question: Question = { isLate: false, waiting: [then] };
    this.#questions.set(host, question);
    const begin = (): void => {
      this.#asking++;
      this.#resolve(host, { all: true }, (error, addresses) => {
        this.#asking--;
        this.#questions.delete(host);
        if (!error && addresses.length > 0) this.#remember(host, addresses);
        for (const one of question.waiting) one(error);
        this.#next.shift()?.();
      });
    };
    if (this.#asking < questionsMax) begin();
    else this.#next.push(begin);
    return question;
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
  names.learn(hosts);
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
