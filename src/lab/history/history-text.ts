/**
 * A history as text: lines of JSON, the first says what it is, then one for each sending and one for each answer.
 *
 *     {"kind":"history","schema":1,"run":"r1","bank":{"opening":[100,100],"mayOverdraw":false}}
 *     {"kind":"sent","number":0,"client":2,"at":5012.25,"ask":{"kind":"append","key":"r1-l0","value":7}}
 *     {"kind":"answered","number":0,"at":5014.5,"outcome":{"kind":"ok","told":{},"by":{"member":"pg-west","epoch":3}}}
 *
 * Written as things happen, so that a recorder that dies leaves a history: what was sent and never answered is unknown.
 */
import { z } from "zod";
import {
  type Ask,
  type History,
  type ObjectKind,
  type Operation,
  type Outcome,
  objectOf,
} from "./operation.ts";

export type HistoryHead = Omit<History, "operations">;

export type HistoryEvent =
  | {
      readonly kind: "sent";
      readonly number: number;
      readonly client: number;
      readonly at: number;
      readonly ask: Ask;
    }
  | { readonly kind: "answered"; readonly number: number; readonly at: number; readonly outcome: Outcome };

export function headLine({ run, bank }: HistoryHead): string {
  return `${JSON.stringify({ kind: "history", schema: 1, run, bank })}\n`;
}

export function eventLine(event: HistoryEvent): string {
  return `${JSON.stringify(event)}\n`;
}

/** A line that is no history's, with its number from 1. */
export class BadHistory extends Error {
  override readonly name = "BadHistory";
  readonly line: number;

  constructor(line: number, because: string) {
    super(`line ${line}: ${because}`);
    this.line = line;
  }
}

const whole = z.int();
const index = z.int().min(0);
const key = z.string().min(1);
const instant = z.number();

const ask = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("read"), key }),
  z.strictObject({ kind: z.literal("write"), key, value: whole }),
  z.strictObject({ kind: z.literal("swap"), key, from: whole, to: whole }),
  z.strictObject({ kind: z.literal("append"), key, value: whole }),
  z.strictObject({ kind: z.literal("list"), key }),
  z.strictObject({ kind: z.literal("transfer"), key, from: index, to: index, amount: index }),
  z.strictObject({ kind: z.literal("balances"), key }),
]);

const by = z.strictObject({ member: z.string().min(1), epoch: z.int().min(1) }).nullable();

/** What each kind of ask must be told when it was acknowledged. */
const told = {
  read: z.strictObject({ value: whole.nullable() }),
  write: z.strictObject({}),
  swap: z.strictObject({ done: z.boolean() }),
  append: z.strictObject({}),
  list: z.strictObject({ values: z.array(whole) }),
  transfer: z.strictObject({ done: z.boolean() }),
  balances: z.strictObject({ balances: z.array(whole) }),
} satisfies Readonly<Record<Ask["kind"], z.ZodType>>;

const outcome = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("ok"), told: z.record(z.string(), z.unknown()), by }),
  z.strictObject({ kind: z.literal("failed"), because: z.string() }),
  z.strictObject({ kind: z.literal("unknown"), because: z.string() }),
]);

const head = z.strictObject({
  kind: z.literal("history"),
  schema: z.literal(1),
  run: z.string(),
  bank: z.strictObject({ opening: z.array(whole), mayOverdraw: z.boolean() }),
});

const event = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("sent"), number: index, client: index, at: instant, ask }),
  z.strictObject({ kind: z.literal("answered"), number: index, at: instant, outcome }),
]);

/** Throws `BadHistory` at the first line that is wrong, by itself or after those before it. */
export function parseHistory(text: string): History {
  const lines = text.split("\n");
  if (lines.at(-1) !== "")
    throw new BadHistory(lines.length, "it ends in the middle: there is no end of line");
  lines.pop();
  const { run, bank } = parseLine(head, lines[0] ?? "", 1);
  const reader = new EventReader();
  for (const [at, line] of lines.entries()) if (0 < at) reader.take(parseLine(event, line, at + 1), at + 1);
  return { run, bank, operations: reader.operations() };
}

export class EventReader {
  readonly #operations = new Map<number, Operation>();
  /** By client: what it waits for. */
  readonly #waiting = new Map<number, number>();
  /** By client: when it had its last answer. */
  readonly #freeAt = new Map<number, number>();
  readonly #objects = new Map<string, ObjectKind>();
  readonly #appended = new Set<string>();

  /** `line`: for the error. */
  take(event: HistoryEvent, line: number): void {
    const refuse = (because: string): never => {
      throw new BadHistory(line, because);
    };
    if (event.kind === "sent") {
      const { number, client, at, ask } = event;
      if (this.#operations.has(number)) refuse(`operation ${number} was sent before`);
      const waiting = this.#waiting.get(client);
      if (waiting !== undefined) refuse(`client ${client} still waits for operation ${waiting}`);
      if (at < (this.#freeAt.get(client) ?? at)) refuse(`client ${client} sent it before its last answer`);
      this.#checkAsk(ask, refuse);
      this.#waiting.set(client, number);
      this.#operations.set(number, {
        number,
        client,
        sentAt: at,
        doneAt: Number.POSITIVE_INFINITY,
        ask,
        outcome: { kind: "unknown", because: "no answer was recorded" },
      });
      return;
    }
    const operation = this.#operations.get(event.number);
    if (operation === undefined) return refuse(`operation ${event.number} was answered and never sent`);
    const { client, sentAt, ask } = operation;
    if (this.#waiting.get(client) !== event.number) refuse(`operation ${event.number} was answered before`);
    if (event.at < sentAt) refuse(`operation ${event.number} was answered before it was sent`);
    if (event.outcome.kind === "ok") {
      const checked = told[ask.kind].safeParse(event.outcome.told);
      if (!checked.success) refuse(`told of ${ask.kind}: ${whyOf(checked.error)}`);
    }
    this.#waiting.delete(client);
    this.#freeAt.set(client, event.at);
    this.#operations.set(event.number, { ...operation, doneAt: event.at, outcome: event.outcome });
  }

  operations(): readonly Operation[] {
    return [...this.#operations.values()].sort((a, b) => a.sentAt - b.sentAt || a.number - b.number);
  }

  #checkAsk(ask: Ask, refuse: (because: string) => never): void {
    const object = objectOf(ask);
    const known = this.#objects.get(ask.key);
    if (known !== undefined && known !== object) refuse(`${ask.key} is a ${known}, and no ${object}`);
    this.#objects.set(ask.key, object);
    if (ask.kind !== "append") return;
    const element = `${ask.value} ${ask.key}`;
    if (this.#appended.has(element)) refuse(`${ask.value} was appended to ${ask.key} before`);
    this.#appended.add(element);
  }
}

function parseLine<Shape extends z.ZodType>(shape: Shape, line: string, number: number): z.output<Shape> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new BadHistory(number, `it is no JSON: ${(error as Error).message}`);
  }
  const parsed = shape.safeParse(value);
  if (!parsed.success) throw new BadHistory(number, whyOf(parsed.error));
  return parsed.data;
}

function whyOf(error: z.ZodError): string {
  return error.issues.map(({ path, message }) => `${path.join(".") || "it"}: ${message}`).join("; ");
}
