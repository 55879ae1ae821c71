/** What the caller's thread and the thread that holds the database say to each other. */
import type { Revision } from "../../core/model/id.ts";
import type { CasOutcome, StoreChange, StoredRecord, StoreErrorCode } from "../../ports/store.ts";

/** Why something failed, in words that fit behind "cannot ... in control store PATH: ". */
export interface Failure {
  readonly code: StoreErrorCode;
  readonly retryable: boolean;
  readonly problem: string;
  /** What to do next. */
  readonly advice: string;
}

export type Request =
  | { readonly kind: "get"; readonly key: string }
  | { readonly kind: "list"; readonly prefix: string }
  | {
      readonly kind: "compare-and-swap";
      readonly key: string;
      readonly expect: Revision;
      readonly value: string | null;
      readonly orValue: string | undefined;
    };

export type Answer =
  | { readonly kind: "record"; readonly record: StoredRecord | null }
  | { readonly kind: "records"; readonly records: readonly StoredRecord[]; readonly revision: Revision }
  | { readonly kind: "swap"; readonly outcome: CasOutcome }
  /** `certain`: nothing was written, and nothing will be. */
  | { readonly kind: "failed"; readonly failure: Failure; readonly certain: boolean };

export type ToThread =
  | {
      readonly kind: "request";
      readonly id: number;
      readonly request: Request;
      readonly ticket: Ticket;
    }
  | { readonly kind: "subscribe"; readonly id: number; readonly prefix: string; readonly from: Revision }
  | { readonly kind: "unsubscribe"; readonly id: number }
  | { readonly kind: "close" };

export type FromThread =
  | { readonly kind: "opened" }
  /** The file cannot be opened; the thread ends. */
  | { readonly kind: "refused"; readonly failure: Failure }
  | { readonly kind: "answer"; readonly id: number; readonly answer: Answer }
  | {
      readonly kind: "changes";
      readonly id: number;
      readonly changes: readonly StoreChange[];
      readonly revision: Revision;
    }
  | {
      readonly kind: "snapshot";
      readonly id: number;
      readonly records: readonly StoredRecord[];
      readonly revision: Revision;
    }
  /** These subscriptions have everything up to these revisions. */
  | { readonly kind: "progress"; readonly upTo: readonly (readonly [id: number, revision: Revision])[] }
  | { readonly kind: "trouble"; readonly ids: readonly number[]; readonly failure: Failure }
  | { readonly kind: "closed" };

/**
 * Who was first, the thread that begins a request or the caller that gives it up: one word of shared memory, so that
 * a request given up before it was begun is certainly never done.
 */
export type Ticket = Int32Array;

const WAITING = 0;
const BEGUN = 1;
const GIVEN_UP = 2;

export function newTicket(): Ticket {
  return new Int32Array(new SharedArrayBuffer(4));
}

/** False: the caller has given it up. */
export function begin(ticket: Ticket): boolean {
  return Atomics.compareExchange(ticket, 0, WAITING, BEGUN) === WAITING;
}

/** The attempt certainly did nothing: the request waits again. */
export function putBack(ticket: Ticket): void {
  Atomics.compareExchange(ticket, 0, BEGUN, WAITING);
}

/** True: it was not begun, and never will be. */
export function giveUp(ticket: Ticket): boolean {
  return Atomics.compareExchange(ticket, 0, WAITING, GIVEN_UP) === WAITING;
}

export function isGivenUp(ticket: Ticket): boolean {
  return Atomics.load(ticket, 0) === GIVEN_UP;
}

/** What the thread is started with. */
export interface ThreadOptions {
  readonly path: string;
  readonly topology: string;
  readonly openTimeoutMs: number;
  readonly keepRevisions: number;
  readonly bell: Bell;
  /** False after a restart: a file that has vanished is not made anew. */
  readonly mayCreate: boolean;
}

/**
 * The thread sleeps on it, since it has no event loop of its own. The first word counts the rings; the second is 1
 * while the kernel's news of other processes' writes ring it too.
 */
export type Bell = Int32Array;

export function newBell(): Bell {
  return new Int32Array(new SharedArrayBuffer(8));
}

export function ring(bell: Bell): void {
  Atomics.add(bell, 0, 1);
  Atomics.notify(bell, 0);
}

export function setRung(bell: Bell, byKernel: boolean): void {
  Atomics.store(bell, 1, byKernel ? 1 : 0);
}

export function isRung(bell: Bell): boolean {
  return Atomics.load(bell, 1) === 1;
}
