/** Why a request over HTTP got no answer, in words for people. */
import type { SpanMs } from "../../core/model/time.ts";

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there",
  ECONNRESET: "the connection was reset",
  EHOSTUNREACH: "no route to it",
  ENETUNREACH: "no route to it",
  ENOTFOUND: "its name is not known",
  EAI_AGAIN: "its name cannot be looked up",
  UND_ERR_SOCKET: "the connection was closed before the answer was whole",
  UND_ERR_CONNECT_TIMEOUT: "no connection in time",
};

export function sayWhy(error: unknown, timeoutMs: SpanMs | null): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError" || error.name === "AbortError") {
    return timeoutMs === null ? "no answer in time" : `no answer within ${timeoutMs} ms`;
  }
  const inner = error instanceof AggregateError ? (error.errors[0] as unknown) : error;
  const code = (inner as NodeJS.ErrnoException).code ?? "";
  return words[code] ?? (inner as Error).message;
}
