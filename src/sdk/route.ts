/** One route whose requests are done once: what every framework's adapter is given, and what its work is given. */
import type { Answer } from "./answer.ts";
import type { SqlSession } from "./session.ts";

/** What was asked for, besides the session. */
export interface Asked<Request> {
  /** The framework's own. */
  readonly request: Request;
  /** The body: bytes as they came, or what the framework's parser made of them. */
  readonly body: unknown;
}

export interface Route<Session extends SqlSession, Request, Result = Answer> {
  /**
   * Whose key it is, such as the account that is signed in; not a token, which may be renewed between two repeats.
   * `() => ""` shares keys, and so answers, among all callers.
   */
  readonly scopeOf: (request: Request) => string;
  /** false: a request without a key is done, and not remembered. Default: it gets 400. */
  readonly required?: boolean;
  /**
   * Everything that must be done once, with the session of the transaction. What it throws undoes all of it, and is
   * answered by the framework as ever. It must not end the transaction.
   */
  readonly work: (session: Session, asked: Asked<Request>) => Result | Promise<Result>;
}

/** A body that is larger than what is taken. */
export class BodyTooLarge extends Error {}

/** Reads to the end, however large it is, so that the refusal can be told; keeps no more than is taken. */
export async function readBody(chunks: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Buffer> {
  const kept: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes <= maxBytes) kept.push(chunk);
    else kept.length = 0;
  }
  if (maxBytes < bytes) throw new BodyTooLarge(`${bytes} bytes: at most ${maxBytes} are taken`);
  return Buffer.concat(kept);
}
