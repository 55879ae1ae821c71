/** Keys for `node:http`: a listener that answers one route's requests. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Reply } from "./answer.ts";
import type { Idempotency } from "./idempotency.ts";
import { bodyTooLarge } from "./problem.ts";
import { BodyTooLarge, type Route, readBody } from "./route.ts";
import type { SqlSession } from "./session.ts";

/** What connect-like frameworks add to Node's request. */
interface ParsedMessage extends IncomingMessage {
  readonly body?: unknown;
  readonly originalUrl?: string;
}

/** Rejects with what the work rejects with, before anything is answered: what to say then is the service's to decide. */
export function idempotentListener<Session extends SqlSession, Request extends IncomingMessage>(
  idempotency: Idempotency<Session>,
  route: Route<Session, Request>,
): (request: Request, response: ServerResponse) => Promise<void> {
  return async (request, response) => {
    const reply = await performMessage(idempotency, route, request);
    sendReply(response, reply);
  };
}

export async function performMessage<Session extends SqlSession, Request extends IncomingMessage>(
  idempotency: Idempotency<Session>,
  { scopeOf, required, work }: Route<Session, Request>,
  request: Request,
): Promise<Reply> {
  const { body: parsed, originalUrl, url, method = "" } = request as ParsedMessage;
  let body = parsed;
  try {
    body ??= await readBody(request, idempotency.requestMaxBytes);
  } catch (error) {
    if (error instanceof BodyTooLarge) return bodyTooLarge(idempotency.requestMaxBytes);
    throw error;
  }
  const call = {
    method,
    path: originalUrl ?? url ?? "/",
    key: request.headers["idempotency-key"]?.toString(),
    body,
    scope: scopeOf(request),
    required: required ?? true,
  };
  return await idempotency.perform(call, (session) => work(session, { request, body }));
}

export function sendReply(response: ServerResponse, { status, headers, body }: Reply): void {
  const values = new Map<string, string[]>();
  for (const [name, value] of headers) values.set(name, [...(values.get(name) ?? []), value]);
  response.statusCode = status;
  for (const [name, each] of values) response.setHeader(name, each.length === 1 ? (each[0] as string) : each);
  if (status !== 204 && status !== 304) response.setHeader("content-length", body.length);
  response.end(body);
}
