/** What a service's work answers, and what is kept of it and sent, now and at every repeat. */

/** What the work returns: nothing is sent before it is committed. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** A text or bytes as they are; anything else as JSON. */
  readonly body?: unknown;
  /** Whether to commit and to remember. Default: below 500, yes; from 500 on everything is rolled back and forgotten. */
  readonly keep?: boolean;
}

/** An answer in bytes. Names of headers in lower case, each value on its own. */
export interface Reply {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

/** Of this connection or this moment, or told anew with each answer. */
const notKept: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "date",
  "keep-alive",
  "proxy-authenticate",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export function replyOf(answer: Answer): Reply {
  const { status, body } = answer;
  if (!Number.isInteger(status) || status < 200 || 599 < status)
    throw new RangeError(`the work answered with status ${status}: 200 to 599 can be sent`);
  const headers: [string, string][] = [];
  for (const [name, value] of Object.entries(answer.headers ?? {}))
    for (const one of typeof value === "string" ? [value] : value) headers.push([name.toLowerCase(), one]);
  const kept = headers.filter(([name]) => !notKept.has(name));
  if (body === undefined || body === null || status === 204 || status === 304)
    return { status, headers: kept, body: Buffer.alloc(0) };
  const isTyped = kept.some(([name]) => name === "content-type");
  if (body instanceof Uint8Array) return { status, headers: kept, body: Buffer.from(body) };
  if (typeof body === "string") {
    if (!isTyped) kept.push(["content-type", "text/plain; charset=utf-8"]);
    return { status, headers: kept, body: Buffer.from(body) };
  }
  if (!isTyped) kept.push(["content-type", "application/json"]);
  return { status, headers: kept, body: Buffer.from(JSON.stringify(body)) };
}

export function isKept(answer: Answer): boolean {
  return answer.keep ?? answer.status < 500;
}

/** The same answer, marked as one that was given before. */
export function again(reply: Reply): Reply {
  const others = reply.headers.filter(([name]) => name !== "idempotency-replayed");
  return { ...reply, headers: [...others, ["idempotency-replayed", "true"]] };
}
