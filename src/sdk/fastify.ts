/** Keys for Fastify 5: a handler for one route. */
import type { Idempotency } from "./idempotency.ts";
import type { Route } from "./route.ts";
import type { SqlSession } from "./session.ts";

/** As much of Fastify's request and reply as we use. */
interface FastifyRequestLike {
  readonly method: string;
  readonly originalUrl: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body?: unknown;
}

interface FastifyReplyLike {
  code(status: number): unknown;
  header(name: string, value: string): unknown;
  send(body: Buffer): unknown;
}

/** `app.post("/orders", idempotentFastify(idempotency, { scopeOf, work }))`. The body is what Fastify's parser made of it. */
export function idempotentFastify<Session extends SqlSession, Request extends FastifyRequestLike>(
  idempotency: Idempotency<Session>,
  { scopeOf, required, work }: Route<Session, Request>,
): (request: Request, reply: FastifyReplyLike) => Promise<unknown> {
  return async (request, reply) => {
    const { body, method, originalUrl: path } = request;
    const key = request.headers["idempotency-key"]?.toString();
    const call = { method, path, key, body, scope: scopeOf(request), required: required ?? true };
    const answer = await idempotency.perform(call, (session) => work(session, { request, body }));
    reply.code(answer.status);
    // Fastify collects `set-cookie` by itself; of any other name the last one counts.
    for (const [name, value] of answer.headers) reply.header(name, value);
    reply.send(answer.body);
    return reply;
  };
}
