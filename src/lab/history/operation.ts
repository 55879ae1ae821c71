/** What a client asked and was told, one operation at a time: the words of a history. */
import type { Epoch, MemberName } from "../../core/model/id.ts";
import type { InstantMs } from "../../core/model/time.ts";

/**
 * Three kinds of objects, each named by its key: a register that holds a whole number or nothing, a list that is only
 * appended to, a bank whose accounts are numbered 0, 1, 2, ...
 */
export type Ask =
  | { readonly kind: "read"; readonly key: string }
  | { readonly kind: "write"; readonly key: string; readonly value: number }
  /** Compare-and-set. */
  | { readonly kind: "swap"; readonly key: string; readonly from: number; readonly to: number }
  | { readonly kind: "append"; readonly key: string; readonly value: number }
  | { readonly kind: "list"; readonly key: string }
  /** Refused when it would overdraw `from`, unless the bank permits that. */
  | {
      readonly kind: "transfer";
      readonly key: string;
      readonly from: number;
      readonly to: number;
      readonly amount: number;
    }
  /** All accounts in one snapshot. */
  | { readonly kind: "balances"; readonly key: string };

export interface Told {
  /** Of `read`; null: never written. */
  readonly value?: number | null;
  /** Of `swap` and `transfer`: whether it was carried out. */
  readonly done?: boolean;
  /** Of `list`. */
  readonly values?: readonly number[];
  /** Of `balances`, by account. */
  readonly balances?: readonly number[];
}

/** Who acknowledged it, read in the same transaction. */
export interface AcknowledgedBy {
  readonly member: MemberName;
  readonly epoch: Epoch;
}

export type Outcome =
  | { readonly kind: "ok"; readonly told: Told; readonly by: AcknowledgedBy | null }
  /** Certainly without effect, now and later. */
  | { readonly kind: "failed"; readonly because: string }
  /** It takes effect once, at any time after it was sent, or never. */
  | { readonly kind: "unknown"; readonly because: string };

export interface Operation {
  /** 0, 1, 2, ...: names it in findings. */
  readonly number: number;
  /** A client asks for one thing at a time. */
  readonly client: number;
  readonly sentAt: InstantMs;
  /** When the client had its answer, or gave up. */
  readonly doneAt: InstantMs;
  readonly ask: Ask;
  readonly outcome: Outcome;
}

export interface BankRules {
  /** Balances at the beginning, by account. */
  readonly opening: readonly number[];
  readonly mayOverdraw: boolean;
}

export interface History {
  /** Names the run: prefix of every key. */
  readonly run: string;
  /** Of every bank in it. */
  readonly bank: BankRules;
  /** In the order in which they were sent. */
  readonly operations: readonly Operation[];
}

export type ObjectKind = "register" | "list" | "bank";

export function objectOf(ask: Ask): ObjectKind {
  switch (ask.kind) {
    case "read":
    case "write":
    case "swap":
      return "register";
    case "append":
    case "list":
      return "list";
    case "transfer":
    case "balances":
      return "bank";
    default:
      return ask satisfies never;
  }
}

/** What it was told; null: it was not acknowledged. */
export function toldOf(operation: Operation): Told | null {
  return operation.outcome.kind === "ok" ? operation.outcome.told : null;
}

/** Whether it may change its object: of what was acknowledged without having done anything, certainly not. */
export function mayWrite(operation: Operation): boolean {
  const { ask, outcome } = operation;
  if (outcome.kind === "failed") return false;
  if (ask.kind === "read" || ask.kind === "list" || ask.kind === "balances") return false;
  return !(outcome.kind === "ok" && outcome.told.done === false);
}

/** When it must have taken effect; never, unless it was acknowledged. */
export function dueBy(operation: Operation): InstantMs {
  return operation.outcome.kind === "ok" ? operation.doneAt : Number.POSITIVE_INFINITY;
}

/** One operation as a line for people: `#12 client 3 append l0 7 [100.0, 103.5] pg-west@3`. */
export function describe(operation: Operation): string {
  const { number, client, ask, outcome, sentAt, doneAt } = operation;
  const until = outcome.kind === "ok" ? doneAt.toFixed(3) : "...";
  return `#${number} client ${client}: ${askText(ask)}${outcomeText(outcome)} [${sentAt.toFixed(3)}, ${until}]`;
}

function askText(ask: Ask): string {
  switch (ask.kind) {
    case "write":
    case "append":
      return `${ask.kind} ${ask.key} ${ask.value}`;
    case "swap":
      return `swap ${ask.key} ${ask.from} -> ${ask.to}`;
    case "transfer":
      return `transfer ${ask.key} ${ask.amount} from ${ask.from} to ${ask.to}`;
    default:
      return `${ask.kind} ${ask.key}`;
  }
}

function outcomeText(outcome: Outcome): string {
  if (outcome.kind !== "ok") return ` ${outcome.kind} (${outcome.because})`;
  const { told, by } = outcome;
  const said = told.value ?? told.values ?? told.balances ?? told.done;
  const text = said === undefined ? ("value" in told ? " = null" : "") : ` = ${JSON.stringify(said)}`;
  return by === null ? text : `${text} by ${by.member}@${by.epoch}`;
}
