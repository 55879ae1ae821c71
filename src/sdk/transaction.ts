/**
 * One try under one key: begin, look, work, remember, commit; in three round trips besides the work's own.
 *
 * - T1. The work and its answer become durable in one commit, or neither does.
 * - T2. Before COMMIT is sent nothing was done, for certain; a COMMIT without an answer is unknown, never assumed.
 * - T3. A session that failed once is not used again: it may lead to a member that is no longer the writer.
 */
import { type Answer, again, isKept, type Reply, replyOf } from "./answer.ts";
import {
  beginText,
  committingText,
  confirmText,
  keepText,
  keepValues,
  type Remembered,
  replyFrom,
} from "./memory.ts";
import {
  CommitDoubt,
  codeOf,
  messageOf,
  type SqlResult,
  type SqlSession,
  TooLate,
  within,
} from "./session.ts";

export type Ended =
  /** `kept`: committed, and remembered where there is a key. */
  | { readonly kind: "answered"; readonly reply: Reply; readonly kept: boolean }
  /** The key belongs to another request. */
  | { readonly kind: "reused" }
  /** Somebody else works under this key. `committing`: that work is done, and waits for standbys. */
  | { readonly kind: "in-flight"; readonly committing: boolean }
  | { readonly kind: "unavailable"; readonly applied: "no" | "unknown"; readonly because: string }
  /** A deadlock or the like: rolled back by PostgreSQL, worth another try. */
  | { readonly kind: "conflict"; readonly because: string }
  | { readonly kind: "too-long" };

export interface Limits {
  readonly table: string;
  readonly keepMs: number;
  readonly statementWithinMs: number;
  readonly commitWithinMs: number;
  readonly workWithinMs: number;
  readonly answerMaxBytes: number;
}

/** Idle between two statements of one piece of work: beyond the work's own deadline, so that it comes second. */
const idleBeyondWorkMs = 2_000;

/** Rejects only with what the work rejects with, and with our bugs; then nothing was kept. `remembered` null: no key. */
export async function runOnce<Session extends SqlSession>(
  connect: () => Promise<Session>,
  limits: Limits,
  remembered: Remembered | null,
  work: (session: Session) => Answer | Promise<Answer>,
): Promise<Ended> {
  const { statementWithinMs } = limits;
  let session: Session;
  try {
    session = await openWithin(connect, statementWithinMs);
  } catch (error) {
    return { kind: "unavailable", applied: "no", because: `no session: ${messageOf(error)}` };
  }
  const doubt = new CommitDoubt(session);
  let isSound = false;
  try {
    const ended = await runIn(session, doubt, limits, remembered, work);
    isSound = ended.kind !== "unavailable" && ended.kind !== "too-long";
    return ended;
  } catch (error) {
    // T2, T3: an answer may still come to what was asked, so nothing more is asked.
    if (error instanceof TooLate) return { kind: "unavailable", applied: "no", because: error.message };
    // The work's own error, if its session still obeys; else the session was what failed.
    try {
      await within(session.query("ROLLBACK"), statementWithinMs, "ROLLBACK");
    } catch {
      return { kind: "unavailable", applied: "no", because: messageOf(error) };
    }
    isSound = true;
    const code = codeOf(error);
    if (code === "40001" || code === "40P01") return { kind: "conflict", because: messageOf(error) };
    // On a standby, or while a member is being demoted.
    if (code === "25006") return { kind: "unavailable", applied: "no", because: messageOf(error) };
    throw error;
  } finally {
    doubt.close();
    session.release(!isSound);
  }
}

async function runIn<Session extends SqlSession>(
  session: Session,
  doubt: CommitDoubt,
  limits: Limits,
  remembered: Remembered | null,
  work: (session: Session) => Answer | Promise<Answer>,
): Promise<Ended> {
  const { table, statementWithinMs } = limits;
  const id = remembered?.id ?? null;
  const idleMaxMs = limits.workWithinMs + idleBeyondWorkMs;
  let found: readonly SqlResult[];
  try {
    const begin = beginText(table, id, idleMaxMs);
    found = manyOf(await within(session.query(begin), statementWithinMs, "BEGIN"));
  } catch (error) {
    if (codeOf(error) === "42P01")
      throw new Error(`the table ${table} is missing: run the SQL of idempotencyMigration()`, {
        cause: error,
      });
    if (codeOf(error).startsWith("42")) throw error;
    return { kind: "unavailable", applied: "no", because: messageOf(error) };
  }
  const standby = found[1]?.rows[0]?.standby === true;
  if (standby) return { kind: "unavailable", applied: "no", because: "this member is a standby" };
  if (remembered !== null) {
    const known = found[3]?.rows[0];
    if (known !== undefined) {
      if (known.fingerprint === remembered.fingerprint)
        return await commit(session, doubt, limits, confirmText, again(replyFrom(known)));
      await rollBack(session, statementWithinMs);
      return { kind: "reused" };
    }
    if (found[2]?.rows[0]?.mine !== true) {
      const looked = await within(
        session.query(committingText(remembered.id)),
        statementWithinMs,
        "pg_locks",
      );
      await rollBack(session, statementWithinMs);
      return { kind: "in-flight", committing: 0 < (manyOf(looked)[0]?.rows.length ?? 0) };
    }
  }
  const answer = await withinOrNull(work(session), limits.workWithinMs);
  if (answer === null) return { kind: "too-long" };
  const reply = replyOf(answer);
  if (limits.answerMaxBytes < reply.body.length)
    throw new RangeError(
      `the work answered with ${reply.body.length} bytes: at most ${limits.answerMaxBytes} are kept`,
    );
  if (!isKept(answer)) {
    await rollBack(session, statementWithinMs);
    return { kind: "answered", reply, kept: false };
  }
  if (remembered !== null) {
    const values = keepValues(remembered, reply, limits.keepMs);
    const kept = await within(
      session.query(keepText(table), values),
      statementWithinMs,
      "keeping the answer",
    );
    if (manyOf(kept)[0]?.rows.length !== 1)
      throw new Error(
        "the work ended the transaction that it was given: leave COMMIT and ROLLBACK to the SDK",
      );
  }
  return await commit(session, doubt, limits, "COMMIT", reply);
}

async function commit(
  session: SqlSession,
  doubt: CommitDoubt,
  limits: Limits,
  text: string,
  reply: Reply,
): Promise<Ended> {
  let results: readonly SqlResult[];
  try {
    results = manyOf(await within(session.query(text), limits.commitWithinMs, "COMMIT"));
  } catch (error) {
    const code = codeOf(error);
    // A deferred constraint, or the victim of a conflict: PostgreSQL says so only of what it rolled back.
    if (code.startsWith("23") || code === "40001" || code === "40P01") throw error;
    return { kind: "unavailable", applied: "unknown", because: messageOf(error) };
  }
  // A COMMIT of a transaction that had failed is answered by success and the tag ROLLBACK.
  if ((results.at(-1)?.command ?? "COMMIT") !== "COMMIT")
    throw new Error("the transaction had failed before its COMMIT, and was rolled back");
  if (doubt.because !== null) return { kind: "unavailable", applied: "unknown", because: doubt.because };
  return { kind: "answered", reply, kept: true };
}

/** null: too late. */
async function withinOrNull<T>(value: T | Promise<T>, ms: number): Promise<T | null> {
  try {
    return await within(Promise.resolve(value), ms, "the work");
  } catch (error) {
    if (error instanceof TooLate) return null;
    throw error;
  }
}

async function rollBack(session: SqlSession, ms: number): Promise<void> {
  await within(session.query("ROLLBACK"), ms, "ROLLBACK");
}

function manyOf(result: SqlResult | SqlResult[]): readonly SqlResult[] {
  return Array.isArray(result) ? result : [result];
}

/** A session that comes too late is given back unused. */
async function openWithin<Session extends SqlSession>(
  connect: () => Promise<Session>,
  ms: number,
): Promise<Session> {
  const opening = connect();
  try {
    return await within(opening, ms, "connect");
  } catch (error) {
    opening.then(
      (session) => session.release(),
      () => undefined,
    );
    throw error;
  }
}
