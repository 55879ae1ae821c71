/** What became of each request: columns of numbers while it runs, one JSON file at the end, records for whoever judges. */
import { createWriteStream, readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Epoch, MemberName } from "../core/model/id.ts";
import type { InstantMs, SpanMs } from "../core/model/time.ts";

/** `order` carries an Idempotency-Key, `unsafe-order` none; `read` asks for one that was acknowledged, `list` for the newest. */
export type RequestKind = "order" | "unsafe-order" | "read" | "list";

export interface RequestRecord {
  /** 0, 1, 2, ... in the order of sending. With the run's name it is the key and the item of an order. */
  readonly number: number;
  readonly kind: RequestKind;
  readonly place: string;
  /** When it was meant to be sent. Waits count from here, so that a load that falls behind hides nothing. */
  readonly dueAt: InstantMs;
  /** When the try began that brought the final answer, or the last one that brought none. */
  readonly lastTryAt: InstantMs;
  /** When the client had the whole answer, or gave up. */
  readonly doneAt: InstantMs;
  /** Of the final answer; 0: none. */
  readonly status: number;
  /** Empty: it succeeded. Else what ended it, such as `refused`, `reset`, `timeout`, `status-503`. */
  readonly failure: string;
  /** URL of the edge of the last try. */
  readonly edge: string;
  /** Region that answered, as the answer says; empty: none. */
  readonly region: string;
  readonly tries: number;
  /** How long the edge held it, as the final answer says. */
  readonly heldMs: SpanMs;
  /** Acknowledgement of an order. */
  readonly receipt: Receipt | null;
}

export interface Receipt {
  readonly id: string;
  /** Who took the order, and in which epoch: what its row must say. */
  readonly member: MemberName;
  readonly epoch: Epoch;
  /** Who acknowledged it now: the same, unless it is a replay. */
  readonly byMember: MemberName;
  readonly byEpoch: Epoch;
  readonly replayed: boolean;
}

/** A whole run, as written to its file. */
export interface LoadHistory {
  readonly schema: 1;
  /** Prefix of all of its keys and items. */
  readonly run: string;
  readonly startedAt: InstantMs;
  /** Nothing was sent from then on. */
  readonly stoppedAt: InstantMs;
  /** When the last request had its end. */
  readonly endedAt: InstantMs;
  /** What makes the run worth nothing, such as a load that could not keep up; empty: nothing. */
  readonly problems: readonly string[];
  readonly requests: readonly RequestRecord[];
}

export type HistoryFrame = Omit<LoadHistory, "requests">;

const columns = [
  "kind",
  "place",
  "dueAt",
  "lastTryAt",
  "doneAt",
  "status",
  "failure",
  "edge",
  "region",
  "tries",
  "heldMs",
  "id",
  "member",
  "epoch",
  "byMember",
  "byEpoch",
  "replayed",
] as const;
type Column = (typeof columns)[number];

/** Some 136 bytes a request: a packed array of doubles for each column, words by their number. */
export class Recorder {
  readonly #columns: Record<Column, number[]>;
  readonly #words: string[] = [""];
  readonly #numberOf = new Map<string, number>([["", 0]]);
  readonly #ids: string[] = [""];
  readonly #numbers: number[] = [];

  constructor() {
    this.#columns = Object.fromEntries(columns.map((name) => [name, []])) as unknown as Record<
      Column,
      number[]
    >;
  }

  get size(): number {
    return this.#numbers.length;
  }

  add(record: RequestRecord): void {
    const { receipt } = record;
    const put = (column: Column, value: number) => this.#columns[column].push(value);
    this.#numbers.push(record.number);
    put("kind", this.#word(record.kind));
    put("place", this.#word(record.place));
    put("dueAt", round(record.dueAt));
    put("lastTryAt", round(record.lastTryAt));
    put("doneAt", round(record.doneAt));
    put("status", record.status);
    put("failure", this.#word(record.failure));
    put("edge", this.#word(record.edge));
    put("region", this.#word(record.region));
    put("tries", record.tries);
    put("heldMs", round(record.heldMs));
    put("id", receipt === null ? 0 : this.#ids.push(receipt.id) - 1);
    put("member", this.#word(receipt?.member ?? ""));
    put("epoch", receipt?.epoch ?? 0);
    put("byMember", this.#word(receipt?.byMember ?? ""));
    put("byEpoch", receipt?.byEpoch ?? 0);
    put("replayed", receipt?.replayed ? 1 : 0);
  }

  /** Column by column, so that the text never stands in memory as a whole. */
  async write(path: string, frame: HistoryFrame): Promise<void> {
    const file = createWriteStream(path, { mode: 0o600 });
    await pipeline(Readable.from(this.#pieces(frame)), file);
  }

  *#pieces(frame: HistoryFrame): Generator<string> {
    yield `{"frame":${JSON.stringify(frame)},"words":${JSON.stringify(this.#words)},"ids":[""`;
    for (const id of this.#ids.slice(1)) yield `,${JSON.stringify(id)}`;
    yield `],"number":[${this.#numbers.join()}]`;
    for (const name of columns) yield `,${JSON.stringify(name)}:[${this.#columns[name].join()}]`;
    yield "}\n";
  }

  #word(word: string): number {
    const known = this.#numberOf.get(word);
    if (known !== undefined) return known;
    const number = this.#words.push(word) - 1;
    this.#numberOf.set(word, number);
    return number;
  }
}

type Written = { frame: HistoryFrame; words: string[]; ids: string[]; number: number[] } & Record<
  Column,
  number[]
>;

export function readHistory(path: string): LoadHistory {
  const written = JSON.parse(readFileSync(path, "utf8")) as Written;
  if (written.frame?.schema !== 1) throw new Error(`${path} is not a record of a load run, schema 1`);
  const at = (column: Column, i: number) => written[column][i] ?? 0;
  const word = (column: Column, i: number) => written.words[at(column, i)] ?? "";
  const requests = written.number.map((number, i): RequestRecord => {
    const id = written.ids[at("id", i)] ?? "";
    return {
      number,
      kind: word("kind", i) as RequestKind,
      place: word("place", i),
      dueAt: at("dueAt", i),
      lastTryAt: at("lastTryAt", i),
      doneAt: at("doneAt", i),
      status: at("status", i),
      failure: word("failure", i),
      edge: word("edge", i),
      region: word("region", i),
      tries: at("tries", i),
      heldMs: at("heldMs", i),
      receipt:
        id === ""
          ? null
          : {
              id,
              member: word("member", i),
              epoch: at("epoch", i),
              byMember: word("byMember", i),
              byEpoch: at("byEpoch", i),
              replayed: at("replayed", i) === 1,
            },
    };
  });
  return { ...written.frame, requests };
}

/** To the microsecond: more is noise. */
function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
