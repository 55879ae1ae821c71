/**
 * Requests under an `Idempotency-Key`: done once, answered alike however often they are repeated, here or after a failover.
 *
 * - I1. One key, one request: another one under the same key is refused (422) and never done.
 * - I2. Repeats at one process share one try: however many come at once, one session is taken.
 * - I3. Nobody holds a session while waiting for another's work; who waited `waitMs` is told so (409).
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Answer, again, type Reply } from "./answer.ts";
import { readKey } from "./idempotency-key.ts";
import { checkTable, fingerprintOf, idOf, type Remembered, sweepText } from "./memory.ts";
import {
  inFlight,
  malformedKey,
  missingKey,
  reusedKey,
  transactionConflict,
  workTooLong,
  writerChanging,
} from "./problem.ts";
import { type SqlResult, type SqlSession, within } from "./session.ts";
import { type Ended, type Limits, runOnce } from "./transaction.ts";

export interface IdempotencyOptions<Session extends SqlSession> {
  /** A session of the service's own pool: `() => pool.connect()`. Leads to the writer, wherever it is. */
  readonly connect: () => Promise<Session>;
  /** As in `idempotencyMigration(table)`. Default: `idempotency_keys`. */
  readonly table?: string;
  /**
   * How long an answer is remembered, 1 minute to 31 days. Default: 24 hours. Shorter than clients go on repeating: what
   * they repeat is done again; longer: the table is larger, by requests a second times seconds.
   */
  readonly keepMs?: number;
  /** How long a repeat waits for the first request, 0 to 60 s. Default: 3 s. Shorter: more 409; longer: more that wait. */
  readonly waitMs?: number;
  /** For the work. Default: 10 s. What takes longer is given up and rolled back. */
  readonly workWithinMs?: number;
  /** For a session, and for each statement of ours. Default: 2 s. */
  readonly statementWithinMs?: number;
  /** For the COMMIT. Default: 2 s. Longer than standbys take; one that takes longer is unknown, never cancelled. */
  readonly commitWithinMs?: number;
  /** Of one remembered answer. Default: 1 MiB. */
  readonly answerMaxBytes?: number;
  /** Of one request's body, where we read it. Default: 1 MiB, as much as an edge can send again. */
  readonly requestMaxBytes?: number;
  /** Hears what nobody else is told: that forgetting old keys failed. */
  readonly onTrouble?: (error: unknown) => void;
}

/** A request, as far as keys are concerned. */
export interface Call {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** The field `Idempotency-Key` as it came. */
  readonly key: string | null | undefined;
  /** Bytes, or what a parser made of them. */
  readonly body: unknown;
  /** Whose key it is, such as the account: two accounts may use the same key, and neither sees the other's answer. */
  readonly scope: string;
  /** false: without a key the work is done, in a transaction, and not remembered. Default: 400. */
  readonly required?: boolean;
}

/** Everything that must be done once, with the session of the transaction. May not end the transaction. */
export type Work<Session> = (session: Session) => Answer | Promise<Answer>;

export interface Idempotency<Session extends SqlSession> {
  readonly requestMaxBytes: number;
  /** Rejects only with what the work rejects with; then nothing is done and nothing remembered. */
  perform(call: Call, work: Work<Session>): Promise<Reply>;
  /** Forgets keys that are past their time, and says how many. Done by itself once a minute while keys come. */
  sweep(): Promise<number>;
}

const minuteMs = 60_000;
/** 100 times 1,000 rows a minute: more than 1,600 keys a second would come faster than they are forgotten. */
const sweepRowsMax = 1_000;
const sweepRoundsMax = 100;
/** Between looks at a key that another process works under. */
const lookMs = { first: 20, last: 100 };

interface UnderWay {
  readonly fingerprint: string;
  readonly ended: Promise<Ended>;
}

export function createIdempotency<Session extends SqlSession>(
  options: IdempotencyOptions<Session>,
): Idempotency<Session> {
  const limits: Limits = {
    table: checkTable(options.table ?? "idempotency_keys"),
    keepMs: inRange("keepMs", options.keepMs ?? 24 * 60 * minuteMs, minuteMs, 31 * 24 * 60 * minuteMs),
    statementWithinMs: inRange("statementWithinMs", options.statementWithinMs ?? 2_000, 1, minuteMs),
    commitWithinMs: inRange("commitWithinMs", options.commitWithinMs ?? 2_000, 1, minuteMs),
    workWithinMs: inRange("workWithinMs", options.workWithinMs ?? 10_000, 1, 10 * minuteMs),
    answerMaxBytes: inRange("answerMaxBytes", options.answerMaxBytes ?? 2 ** 20, 0, 2 ** 26),
  };
  const waitMs = inRange("waitMs", options.waitMs ?? 3_000, 0, minuteMs);
  const requestMaxBytes = inRange("requestMaxBytes", options.requestMaxBytes ?? 2 ** 20, 0, 2 ** 26);
  const { connect } = options;
  const underWay = new Map<string, UnderWay>();
  let sweptAt = performance.now();

  async function perform(call: Call, work: Work<Session>): Promise<Reply> {
    const read = readKey(call.key);
    switch (read.kind) {
      case "malformed":
        return malformedKey(read.because);
      case "missing":
        if (call.required ?? true) return missingKey;
        return tell(await runOnce(connect, limits, null, work));
      case "key":
        return await underKey(call, read.key, work);
      default:
        return read satisfies never;
    }
  }

  async function underKey(call: Call, key: string, work: Work<Session>): Promise<Reply> {
    const { method, path, body, scope } = call;
    const fingerprint = fingerprintOf(method, path, body);
    const remembered: Remembered = { id: idOf(scope, key), scope, key, fingerprint };
    const deadline = performance.now() + waitMs;
    for (;;) {
      const first = underWay.get(remembered.id);
      if (first === undefined) return await begin(remembered, deadline, work);
      const leftMs = Math.max(0, deadline - performance.now());
      const settled = await settledWithin(first.ended, leftMs);
      if (settled === null) return inFlight;
      // I2. Of another request we learn only that it ended: whether its key is taken, the table tells.
      if (first.fingerprint !== fingerprint) continue;
      const ended = await settled.value;
      return ended.kind === "answered" && ended.kept ? again(ended.reply) : tell(ended);
    }
  }

  async function begin(remembered: Remembered, deadline: number, work: Work<Session>): Promise<Reply> {
    const ended = once(remembered, deadline, work);
    underWay.set(remembered.id, { fingerprint: remembered.fingerprint, ended });
    try {
      return tell(await ended);
    } finally {
      underWay.delete(remembered.id);
      sweepNowAndThen();
    }
  }

  /** I3. Looks again and again, and gives the session back in between. */
  async function once(remembered: Remembered, deadline: number, work: Work<Session>): Promise<Ended> {
    for (let pauseMs = lookMs.first; ; pauseMs = Math.min(2 * pauseMs, lookMs.last)) {
      const ended = await runOnce(connect, limits, remembered, work);
      if (ended.kind !== "in-flight" || deadline <= performance.now() + pauseMs) return ended;
      await sleep(pauseMs);
    }
  }

  function tell(ended: Ended): Reply {
    switch (ended.kind) {
      case "answered":
        return ended.reply;
      case "reused":
        return reusedKey;
      case "in-flight":
        // Not the client's business to come back: the edge holds it until the writer, or the next one, is well.
        return ended.committing ? writerChanging("unknown", "the commit waits for its standbys") : inFlight;
      case "unavailable":
        return writerChanging(ended.applied, ended.because);
      case "conflict":
        return transactionConflict(ended.because);
      case "too-long":
        return workTooLong(limits.workWithinMs);
      default:
        return ended satisfies never;
    }
  }

  function sweepNowAndThen(): void {
    const now = performance.now();
    if (now - sweptAt < minuteMs) return;
    sweptAt = now;
    sweep().catch((error: unknown) => options.onTrouble?.(error));
  }

  async function sweep(): Promise<number> {
    const session = await connect();
    let isSound = false;
    try {
      let swept = 0;
      for (let round = 0; round < sweepRoundsMax; round++) {
        const text = sweepText(limits.table, sweepRowsMax);
        const result = await within(session.query(text), limits.statementWithinMs, "forgetting old keys");
        const rows = Number((result as SqlResult).rows[0]?.rows);
        swept += rows;
        if (rows < sweepRowsMax) break;
      }
      isSound = true;
      return swept;
    } finally {
      session.release(!isSound);
    }
  }

  return { requestMaxBytes, perform, sweep };
}

/** null: it has not ended in time. The value is a promise, kept or broken. */
async function settledWithin<T>(promise: Promise<T>, ms: number): Promise<{ value: Promise<T> } | null> {
  const stop = new AbortController();
  const settled = promise.then(
    () => ({ value: promise }),
    () => ({ value: promise }),
  );
  const late = sleep(ms, null, { signal: stop.signal }).catch(() => null);
  try {
    return await Promise.race([settled, late]);
  } finally {
    stop.abort();
  }
}

function inRange(name: string, value: number, least: number, most: number): number {
  if (least <= value && value <= most) return value;
  throw new RangeError(`${name}: ${value} is not between ${least} and ${most}`);
}
