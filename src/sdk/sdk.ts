/** What a service imports as `holdfast/sdk`: keys that make repeats harmless, what the edge told, levels as flags, traces. */
export type { Answer, Reply } from "./answer.ts";
export { fastifyContext, honoContext, nodeContext } from "./carry-context.ts";
export {
  type EdgeTold,
  onRequestContext,
  type RequestContext,
  requestContext,
  runInContext,
} from "./context.ts";
export { idempotentExpress } from "./express.ts";
export { idempotentFastify } from "./fastify.ts";
export { idempotentHono } from "./hono.ts";
export {
  type Call,
  createIdempotency,
  type Idempotency,
  type IdempotencyOptions,
  type Work,
} from "./idempotency.ts";
export { type Flags, type LevelFlags, levelFlags } from "./level-flags.ts";
export { idempotencyMigration } from "./memory.ts";
export { idempotentListener } from "./node-http.ts";
export type { Asked, Route } from "./route.ts";
export type { SqlResult, SqlSession } from "./session.ts";
export { tracedFetch, traceHeaders } from "./trace.ts";
