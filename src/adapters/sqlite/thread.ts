/**
 * The thread that holds the database: it may stand still on a disk, the agent's own thread may not.
 *
 * T1. It has no event loop. It sleeps on a bell that the caller rings, so a request costs one wake-up, and looking
 *     for other processes' writes costs a futex and a `PRAGMA data_version`, not a timer.
 * T2. No request waits behind another one's lock: SQLite itself never waits (timeout 0), and what is in the way of
 *     a lock is put back and tried again in a millisecond or two, until its caller gives it up.
 */
import { type MessagePort, receiveMessageOnPort, workerData } from "node:worker_threads";
import type { Revision } from "../../core/model/id.ts";
import { endsConnection, FileFailure, isBusy, toFailure } from "./failure.ts";
import { ControlFile } from "./file.ts";
import {
  type Answer,
  begin,
  type Failure,
  type FromThread,
  isGivenUp,
  isRung,
  putBack,
  type Request,
  type ThreadOptions,
  type Ticket,
  type ToThread,
} from "./protocol.ts";

/** Looking for changes of other processes, when the kernel rings the bell at each: only in case it did not. */
const POLL_RUNG_MS = 50;
/** When it cannot: so often while there are changes ... */
const POLL_BUSY_MS = 5;
/** ... and so often when there were none for a second. A look costs 40 to 100 microseconds with its wake-up. */
const POLL_IDLE_MS = 10;
const IDLE_AFTER_MS = 1000;
/** The port promises a sign of life each second. */
const PROGRESS_MS = 400;
/** How long a lock is left alone before the next attempt. Chance keeps two processes from retrying in step. */
const RETRY_MIN_MS = 0.5;
const RETRY_SPREAD_MS = 1.5;
/** Whether the path still leads to the open file is asked this often when nothing is written. */
const PLACE_CHECK_MS = 500;
/** Between attempts to open the file anew after a failure. */
const REOPEN_MS = 100;

interface Waiting {
  readonly id: number;
  readonly request: Request;
  readonly ticket: Ticket;
}

interface Subscription {
  readonly prefix: string;
  /** Everything up to here was handed over. */
  cursor: Revision;
}

const { options, port } = workerData as { options: ThreadOptions; port: MessagePort };
const waiting: Waiting[] = [];
const subscriptions = new Map<number, Subscription>();
const neverRung = new Int32Array(new SharedArrayBuffer(4));

const closed: Failure = {
  code: "HOLDFAST_STORE_CLOSED",
  retryable: false,
  problem: "the store was closed before it was begun",
  advice: "open it again",
};

let file: ControlFile | null = null;
let lastOpenedAt = 0;
let closing = false;
/** `PRAGMA data_version` when all subscriptions were last served in full; null: serve them whatever it is. */
let servedVersion: number | null = null;
/** The last look met another process's lock. */
let locked = false;
/** Which file the cursors of subscriptions belong to. */
let identity = "";
let changedAt = 0;
let progressAt = 0;
let placeCheckedAt = 0;
let lastFailure: Failure | null = null;

function run(): void {
  if (!openFirst()) return;
  say({ kind: "opened" });
  for (;;) {
    const heard = Atomics.load(options.bell, 0);
    listen();
    if (closing) break;
    serveRequests();
    serveSubscriptions();
    Atomics.wait(options.bell, 0, heard, pauseMs());
  }
  file?.[Symbol.dispose]();
  for (const { id } of waiting)
    say({ kind: "answer", id, answer: { kind: "failed", failure: closed, certain: true } });
  say({ kind: "closed" });
  port.close();
}

/** Waits for other processes that are making or holding the file, within bounds. */
function openFirst(): boolean {
  const endsAt = performance.now() + options.openTimeoutMs;
  for (;;) {
    try {
      file = open(options.mayCreate);
      identity = file.identity;
      return true;
    } catch (error) {
      listen();
      if (!closing && isBusy(error) && performance.now() < endsAt) {
        Atomics.wait(neverRung, 0, 0, RETRY_MIN_MS + Math.random() * RETRY_SPREAD_MS);
        continue;
      }
      say({ kind: "refused", failure: toFailure(error) });
      port.close();
      return false;
    }
  }
}

function open(mayCreate: boolean): ControlFile {
  lastOpenedAt = performance.now();
  return new ControlFile({ ...options, mayCreate });
}

function listen(): void {
  for (;;) {
    const received = receiveMessageOnPort(port) as { message: ToThread } | undefined;
    if (received === undefined) return;
    const { message } = received;
    switch (message.kind) {
      case "request":
        waiting.push(message);
        break;
      case "subscribe":
        subscriptions.set(message.id, { prefix: message.prefix, cursor: message.from });
        servedVersion = null;
        break;
      case "unsubscribe":
        subscriptions.delete(message.id);
        break;
      case "close":
        closing = true;
        break;
      default:
        message satisfies never;
    }
  }
}

/** Tries each waiting request once. */
function serveRequests(): void {
  let placeChecked = false;
  let writersLocked = false;
  const requests = waiting.splice(0);
  for (const item of requests) {
    if (isGivenUp(item.ticket)) continue;
    if (writersLocked && item.request.kind === "compare-and-swap") {
      waiting.push(item);
      continue;
    }
    if (!begin(item.ticket)) continue;
    try {
      const open = opened();
      if (!placeChecked) open.checkPlace();
      placeChecked = true;
      const answer = perform(open, item.request);
      if (answer.kind === "swap" && answer.outcome.kind === "succeeded") servedVersion = null;
      say({ kind: "answer", id: item.id, answer });
    } catch (error) {
      if (isBusy(error)) {
        putBack(item.ticket);
        waiting.push(item);
        writersLocked = true;
        continue;
      }
      const failure = noteFailure(error);
      const certain = error instanceof FileFailure || item.request.kind !== "compare-and-swap";
      say({ kind: "answer", id: item.id, answer: { kind: "failed", failure, certain } });
    }
  }
}

function perform(open: ControlFile, request: Request): Answer {
  switch (request.kind) {
    case "get":
      return { kind: "record", record: open.get(request.key) };
    case "list":
      return { kind: "records", ...open.list(request.prefix) };
    case "compare-and-swap":
      return {
        kind: "swap",
        outcome: open.compareAndSwap(request.key, request.expect, request.value, request.orValue),
      };
    default:
      return request satisfies never;
  }
}

/** Serves every subscription if anything was written since the last time, and gives a sign of life. */
function serveSubscriptions(): void {
  if (subscriptions.size === 0) return;
  const now = performance.now();
  try {
    const open = opened();
    if (PLACE_CHECK_MS < now - placeCheckedAt) {
      open.checkPlace();
      placeCheckedAt = now;
    }
    const version = open.dataVersion();
    locked = false;
    if (version !== servedVersion) {
      let more = false;
      for (const [id, subscription] of subscriptions) more = serve(open, id, subscription) || more;
      servedVersion = more ? null : version;
      changedAt = now;
    }
    if (servedVersion !== null && PROGRESS_MS < now - progressAt) {
      say({ kind: "progress", upTo: [...subscriptions].map(([id, { cursor }]) => [id, cursor] as const) });
      progressAt = now;
    }
  } catch (error) {
    // The caller's side counts the time without a sign of life.
    locked = isBusy(error);
    if (locked) return;
    const failure = noteFailure(error);
    say({ kind: "trouble", ids: [...subscriptions.keys()], failure });
    progressAt = 0;
  }
}

/** True: there is more than one answer holds. */
function serve(open: ControlFile, id: number, subscription: Subscription): boolean {
  const since = open.changesSince(subscription.prefix, subscription.cursor);
  subscription.cursor = since.revision;
  if (since.kind === "snapshot") {
    say({ kind: "snapshot", id, records: since.records, revision: since.revision });
    return false;
  }
  if (0 < since.changes.length)
    say({ kind: "changes", id, changes: since.changes, revision: since.revision });
  return since.more;
}

/** The connection, opened anew after a failure that ended it; never a new file. */
function opened(): ControlFile {
  if (file !== null) return file;
  if (lastFailure !== null && performance.now() - lastOpenedAt < REOPEN_MS) {
    const { code, retryable, problem, advice } = lastFailure;
    throw new FileFailure(code, retryable, problem, advice);
  }
  file = open(false);
  // Another file has another history: what its log says of our revisions means nothing.
  if (file.identity !== identity) for (const subscription of subscriptions.values()) subscription.cursor = 0;
  identity = file.identity;
  servedVersion = null;
  return file;
}

function noteFailure(error: unknown): Failure {
  const failure = toFailure(error);
  lastFailure = failure;
  if (endsConnection(failure)) {
    file?.[Symbol.dispose]();
    file = null;
  }
  return failure;
}

function pauseMs(): number {
  if (0 < waiting.length) return RETRY_MIN_MS + Math.random() * RETRY_SPREAD_MS;
  if (subscriptions.size === 0) return Number.POSITIVE_INFINITY;
  if (file === null) return REOPEN_MS;
  if (servedVersion === null || locked) return RETRY_MIN_MS + Math.random() * RETRY_SPREAD_MS;
  if (isRung(options.bell)) return POLL_RUNG_MS;
  return performance.now() - changedAt < IDLE_AFTER_MS ? POLL_BUSY_MS : POLL_IDLE_MS;
}

function say(message: FromThread): void {
  port.postMessage(message);
}

// Last, when all of the above is there: it returns when the store is closed.
run();
