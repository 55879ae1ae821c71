/** Refusals as problem details (RFC 9457), so that a client's program can tell one from another. */

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
