/** Keys for Express 5: a handler for one route. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Idempotency } from "./idempotency.ts";
import { performMessage, sendReply } from "./node-http.ts";
import type { Route } from "./route.ts";
import type { SqlSession } from "./session.ts";

/** `app.post("/orders", express.json(), idempotentExpress(idempotency, { scopeOf, work }))`, with or without a parser. */
export function idempotentExpress<Session extends SqlSession, Request extends IncomingMessage>(
  idempotency: Idempotency<Session>,
  route: Route<Session, Request>,
): (request: Request, response: ServerResponse, next: (error?: unknown) => void) => Promise<void> {
  return async (request, response, next) => {
    try {
      sendReply(response, await performMessage(idempotency, route, request));
    } catch (error) {
      next(error);
    }
  };
}
