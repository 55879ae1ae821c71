/** The request's trace passed on to whatever the service asks in turn. */
import { edgeFields, requestContext } from "./context.ts";

/**
 * What to add to an outgoing request: `traceparent`, `tracestate`, `x-request-id`, as far as the request at hand has them.
 *
 * They are passed on as they came. We record no spans, so a parent id of our own would name one that nobody can find; a
 * service with a tracer has its tracer's fields, and those win.
 */
export function traceHeaders(): Record<string, string> {
  const context = requestContext();
  const headers: Record<string, string> = {};
  if (context === null) return headers;
  const { trace, requestId } = context;
  if (trace !== null) headers.traceparent = trace.traceparent;
  if (trace !== null && trace.tracestate !== null) headers.tracestate = trace.tracestate;
  if (requestId !== null) headers[edgeFields.requestId] = requestId;
  return headers;
}

/** `fetch` that passes the trace on. What the caller set stays; a `tracestate` is only added beside our `traceparent`. */
export async function tracedFetch(input: string | URL | Request, init: RequestInit = {}): Promise<Response> {
  const set = init.headers ?? (input instanceof Request ? input.headers : undefined);
  const headers = new Headers(set);
  const own = traceHeaders();
  if (headers.has("traceparent") || headers.has("tracestate")) {
    delete own.traceparent;
    delete own.tracestate;
  }
  for (const [name, value] of Object.entries(own)) if (!headers.has(name)) headers.set(name, value);
  return await fetch(input, { ...init, headers });
}
