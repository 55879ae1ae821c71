/** Refusals as problem details (RFC 9457), with the same fields as the edge's. */
import type { Reply } from "./answer.ts";

export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  /** Seconds; without: none is promised. */
  readonly retryAfterS?: number;
  /** For the edge: held and repeated, whatever the method (`nothing-done`), or if that is safe (`writer-changing`). */
  readonly retry?: "nothing-done" | "writer-changing";
}

export function problemReply(problem: Problem): Reply {
  const { status, code, title, detail, retryAfterS, retry } = problem;
  const headers: [string, string][] = [
    ["content-type", "application/problem+json"],
    ["cache-control", "no-store"],
  ];
  if (retryAfterS !== undefined) headers.push(["retry-after", String(retryAfterS)]);
  if (retry !== undefined) headers.push(["x-holdfast-retry", retry]);
  const body = { type: `urn:holdfast:problem:${code}`, title, status, detail, code };
  return { status, headers, body: Buffer.from(JSON.stringify(body)) };
}

export const missingKey = problemReply({
  status: 400,
  code: "HOLDFAST_IDEMPOTENCY_KEY_MISSING",
  title: "Idempotency-Key is missing",
  detail: "Send an Idempotency-Key, the same one with every repeat, such as a UUID.",
});

export function malformedKey(because: string): Reply {
  return problemReply({
    status: 400,
    code: "HOLDFAST_IDEMPOTENCY_KEY_MALFORMED",
    title: "Idempotency-Key cannot be read",
    detail: `Idempotency-Key: ${because}. Send 1 to 255 visible ASCII characters, in quotation marks or without.`,
  });
}

export const reusedKey = problemReply({
  status: 422,
  code: "HOLDFAST_IDEMPOTENCY_KEY_REUSED",
  title: "Idempotency-Key is already used",
  detail: "It was sent before with another request. Send each new request under a key of its own.",
});

export const inFlight = problemReply({
  status: 409,
  code: "HOLDFAST_IDEMPOTENCY_IN_FLIGHT",
  title: "The first request is still under way",
  detail: "A request with this Idempotency-Key has not ended yet. Send the same again later.",
  retryAfterS: 1,
});

export function bodyTooLarge(maxBytes: number): Reply {
  return problemReply({
    status: 413,
    code: "HOLDFAST_BODY_TOO_LARGE",
    title: "The body is too large",
    detail: `At most ${maxBytes} bytes are taken.`,
  });
}

/** `applied: "no"`: certainly nothing was done. `unknown`: only the same request under the same key can tell. */
export function writerChanging(applied: "no" | "unknown", because: string): Reply {
  return problemReply({
    status: 503,
    code: "HOLDFAST_WRITER_CHANGING",
    title: "The writer is changing",
    detail: `${applied === "no" ? "Nothing was done" : "It may have been done"}: ${because}.`,
    retryAfterS: 1,
    retry: applied === "no" ? "nothing-done" : "writer-changing",
  });
}

export function transactionConflict(because: string): Reply {
  return problemReply({
    status: 503,
    code: "HOLDFAST_TRANSACTION_CONFLICT",
    title: "Another transaction was in the way",
    detail: `Nothing was done: ${because}.`,
    retryAfterS: 1,
  });
}

export function workTooLong(ms: number): Reply {
  return problemReply({
    status: 503,
    code: "HOLDFAST_WORK_TOO_LONG",
    title: "It took too long",
    detail: `Nothing was committed: the work was given up after ${ms} ms.`,
    retryAfterS: 1,
  });
}
