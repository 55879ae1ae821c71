/** Errors as RFC 9457 has them: what was tried, what is known, what to do next. */
import { type ErrorCode, errorCodes } from "../../core/model/error-code.ts";
import type { Problem } from "../../core/model/status.ts";

const statuses = {
  HOLDFAST_REQUEST_UNAUTHENTICATED: 401,
  HOLDFAST_REQUEST_FORBIDDEN: 403,
  HOLDFAST_REQUEST_UNKNOWN: 404,
  HOLDFAST_REQUEST_CONFLICT: 409,
  HOLDFAST_REQUEST_TOO_LARGE: 413,
  HOLDFAST_REQUEST_INVALID: 422,
  HOLDFAST_REQUEST_FAILED: 500,
  HOLDFAST_REQUEST_UNAVAILABLE: 503,
} as const satisfies Partial<Readonly<Record<ErrorCode, number>>>;

export type RequestErrorCode = keyof typeof statuses;

export function problem(code: RequestErrorCode, detail: string): Problem {
  const { means, advice } = errorCodes[code];
  return { type: `urn:holdfast:problem:${code}`, status: statuses[code], title: means, detail, code, advice };
}

export function problemResponse(given: Problem, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(given), {
    status: given.status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
}
