/** The request's context carried into each framework's handlers: put it first, before parsers and routes. */
import { AsyncResource } from "node:async_hooks";
import { type IncomingFields, runInContext } from "./context.ts";

interface Fielded {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** Express, and anything connect-like: `app.use(nodeContext)`. With `node:http` alone: `runInContext(request.headers, ...)`. */
export function nodeContext(request: Fielded, _response: unknown, next: () => void): void {
  runInContext(request.headers, next);
}

/** Hono: `app.use(honoContext)`. */
export function honoContext(
  context: { readonly req: { readonly raw: { readonly headers: IncomingFields } } },
  next: () => Promise<void>,
): Promise<void> {
  return runInContext(context.req.raw.headers, next);
}

interface FastifyLike {
  addHook(
    name: "onRequest" | "preValidation",
    hook: (request: Fielded, reply: unknown, done: () => void) => void,
  ): unknown;
}

/** Fastify: `app.register(fastifyContext)`. */
export function fastifyContext(app: FastifyLike, _options: unknown, done: () => void): void {
  const resources = new WeakMap<object, AsyncResource>();
  app.addHook("onRequest", (request, _reply, next) => {
    runInContext(request.headers, () => {
      resources.set(request, new AsyncResource("holdfast-request"));
      next();
    });
  });
  // A body is parsed in the context of its socket, and everything after it would be.
  app.addHook("preValidation", (request, _reply, next) => {
    const resource = resources.get(request);
    if (resource === undefined) next();
    else resource.runInAsyncScope(next);
  });
  done();
}

// For the whole application, not only for what is registered beneath (as `fastify-plugin` does).
Object.assign(fastifyContext, { [Symbol.for("skip-override")]: true });
