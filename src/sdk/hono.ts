/** Keys for Hono 4: a handler for one route. */
import type { Answer, Reply } from "./answer.ts";
import type { Idempotency } from "./idempotency.ts";
import { bodyTooLarge } from "./problem.ts";
import { BodyTooLarge, type Route, readBody } from "./route.ts";
import type { SqlSession } from "./session.ts";

/** As much of Hono's context as we use. */
interface HonoContextLike {
  readonly req: { raw: Request; arrayBuffer(): Promise<ArrayBuffer> };
}

/** `app.post("/orders", idempotentHono(idempotency, { scopeOf, work }))`. The work may answer by `c.json(...)`. */
export function idempotentHono<Session extends SqlSession, Context extends HonoContextLike>(
  idempotency: Idempotency<Session>,
  { scopeOf, required, work }: Route<Session, Context, Answer | Response>,
): (context: Context) => Promise<Response> {
  return async (context) => {
    const { raw } = context.req;
    let body: Buffer;
    try {
      body = await bytesOf(context, idempotency.requestMaxBytes);
    } catch (error) {
      if (!(error instanceof BodyTooLarge)) throw error;
      return responseOf(bodyTooLarge(idempotency.requestMaxBytes));
    }
    const { pathname, search } = new URL(raw.url);
    const call = {
      method: raw.method,
      path: pathname + search,
      key: raw.headers.get("idempotency-key"),
      body,
      scope: scopeOf(context),
      required: required ?? true,
    };
    return responseOf(
      await idempotency.perform(call, async (session) =>
        answerOf(await work(session, { request: context, body })),
      ),
    );
  };
}

/** Leaves behind a request that can be read again: `c.req.json()` is for the work. */
async function bytesOf({ req }: HonoContextLike, maxBytes: number): Promise<Buffer> {
  const { raw } = req;
  if (raw.bodyUsed) return Buffer.from(await req.arrayBuffer());
  if (raw.body === null) return Buffer.alloc(0);
  const bytes = await readBody(raw.body as unknown as AsyncIterable<Uint8Array>, maxBytes);
  const { method, headers, signal, url } = raw;
  req.raw = new Request(url, { method, headers, signal, body: bytes as Uint8Array<ArrayBuffer> });
  return bytes;
}

async function answerOf(result: Answer | Response): Promise<Answer> {
  if (!("arrayBuffer" in result)) return result;
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of result.headers) if (name !== "set-cookie") headers[name] = value;
  const cookies = result.headers.getSetCookie();
  if (0 < cookies.length) headers["set-cookie"] = cookies;
  return { status: result.status, headers, body: new Uint8Array(await result.arrayBuffer()) };
}

function responseOf({ status, headers, body }: Reply): Response {
  const fields = new Headers();
  for (const [name, value] of headers) fields.append(name, value);
  const hasBody = status !== 204 && status !== 304;
  return new Response(hasBody ? (body as Uint8Array<ArrayBuffer>) : null, { status, headers: fields });
}
