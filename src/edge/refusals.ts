/** What an edge answers itself when nobody else can or may. */
import type { Stand } from "../core/traffic/degrade.ts";
import type { Problem } from "./problem.ts";

export function headOf(contentType: string, body: Buffer): string[] {
  const length = String(body.length);
  return ["content-type", contentType, "cache-control", "no-store", "content-length", length];
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

export function outcomeUnknown(because: string): Problem {
  return {
    status: 502,
    code: "HOLDFAST_OUTCOME_UNKNOWN",
    title: "The outcome is unknown",
    detail: `${because}: it may have happened. Ask before sending it again, or send an Idempotency-Key.`,
    retryAfterS: 0,
  };
}

export const nowhereAllowed: Problem = {
  status: 403,
  code: "HOLDFAST_JURISDICTION_NONE",
  title: "No region may serve this request",
  detail: "The limits of the service that match this request leave no region, or none matches and one must.",
  retryAfterS: 0,
};

export function jurisdictionGone(regions: Iterable<string>): Problem {
  const names = [...regions].join(", ");
  return unavailable(
    "HOLDFAST_JURISDICTION_GONE",
    `it may be served in ${names} only, and no target is left there`,
  );
}

export function tooLate(deadlineMs: number): Problem {
  return {
    status: 504,
    code: "HOLDFAST_DEADLINE",
    title: "The time for this request is over",
    detail: `Within ${deadlineMs} ms, all tries and waiting included, no answer came.`,
    retryAfterS: 1,
  };
}
