/** How a try ended in, what to do next out: answer, repeat, or fail. */

/** How one try ended. */
export type TryEnd =
  /** No byte of the request left: refused, unreachable, no connection in time. */
  | { readonly kind: "not-sent" }
  /** Sent, wholly or in part; then a reset, or no head of a response in time. */
  | { readonly kind: "no-answer" }
  | { readonly kind: "answered"; readonly status: number; readonly hint: RetryHint };

/**
 * What a service says about its own 502, 503 or 504 in `x-holdfast-retry`:
 * `writer-changing`: its data store does not take writes now, and the outcome of this one may be unknown;
 * `nothing-done`: the same, and this request certainly had no effect.
 */
export type RetryHint = "none" | "retry-after" | "writer-changing" | "nothing-done";

export interface RepeatableRequest {
  /** GET, HEAD, OPTIONS, PUT, DELETE, or with an `Idempotency-Key`. */
  readonly idempotent: boolean;
  /** The whole body is at hand, to be sent again. (A body that nobody has begun to send needs no replay.) */
  readonly replayable: boolean;
}

export type Next =
  | { readonly kind: "answer" }
  /** Elsewhere if there is an elsewhere, within the retry budget. */
  | { readonly kind: "repeat"; readonly because: string }
  /** After a pause, or at once with a new table; does not eat the budget. */
  | { readonly kind: "hold"; readonly because: string }
  | { readonly kind: "fail"; readonly because: string; readonly outcome: "nothing-done" | "unknown" };

/** RFC 9110 section 9.2.2, without TRACE, which no proxy of ours passes. */
const idempotentMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);
const safeMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/** RFC 9110 section 9.2.1: asks for no change of state. */
export function isSafe(method: string): boolean {
  return safeMethods.has(method);
}

export function isIdempotent(method: string, hasIdempotencyKey: boolean): boolean {
  return hasIdempotencyKey || idempotentMethods.has(method);
}

export function afterTry(request: RepeatableRequest, end: TryEnd): Next {
  switch (end.kind) {
    case "not-sent":
      return { kind: "repeat", because: "not connected" };
    case "no-answer":
      if (request.idempotent && request.replayable) return { kind: "repeat", because: "no answer" };
      return { kind: "fail", because: "no answer, and not safe to repeat", outcome: "unknown" };
    case "answered":
      return afterAnswer(request, end.status, end.hint);
    default:
      return end satisfies never;
  }
}

function afterAnswer(request: RepeatableRequest, status: number, hint: RetryHint): Next {
  if (status !== 502 && status !== 503 && status !== 504) return { kind: "answer" };
  if (!request.replayable) return { kind: "answer" };
  switch (hint) {
    case "nothing-done":
      return { kind: "hold", because: "writer changing" };
    case "writer-changing":
      return request.idempotent ? { kind: "hold", because: "writer changing" } : { kind: "answer" };
    case "retry-after":
      return request.idempotent ? { kind: "repeat", because: `status ${status}` } : { kind: "answer" };
    case "none":
      // 502 and 504 come from a proxy that lost its own upstream; a bare 503 is the service's own word.
      return request.idempotent && status !== 503
        ? { kind: "repeat", because: `status ${status}` }
        : { kind: "answer" };
    default:
      return hint satisfies never;
  }
}
