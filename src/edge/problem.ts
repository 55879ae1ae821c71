/** Refusals as problem details (RFC 9457), so that a client's program can tell one from another. */

import type { Stand } from "../core/traffic/degrade.ts";

export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  /** Seconds; 0: none is promised. */
  readonly retryAfterS: number;
}

export function problemBody(problem: Problem, requestId: string): string {
  return JSON.stringify({
    type: `urn:holdfast:problem:${problem.code}`,
    title: problem.title,
    status: problem.status,
    detail: problem.detail,
    code: problem.code,
    requestId,
  });
}

export function unavailable(code: string, detail: string): Problem {
  return { status: 503, code, title: "The service cannot answer now", detail, retryAfterS: 1 };
}

/** Levels last longer than failovers. */
const levelRetryAfterS = 10;

export function leftOut(className: string, { level, name }: Stand): Problem {
  const detail = `requests of class ${className} are left out at level ${level} (${name})`;
  return { ...unavailable("HOLDFAST_DEGRADED", detail), retryAfterS: levelRetryAfterS };
}
