/** The body of a request: kept whole while it is small, so that it can be sent again, else streamed once. */
import type { IncomingMessage } from "node:http";
import { PassThrough, type Readable } from "node:stream";

/** 1 MiB times the requests held at most is what memory must bear. Longer: larger uploads survive a failover. */
const wholeUpToBytes = 1024 * 1024;

export type RequestBody =
  | { readonly kind: "none" }
  | { readonly kind: "whole"; readonly bytes: Buffer }
  /** Sent at most once. `length`: as declared, or null when it came in chunks. */
  | { readonly kind: "stream"; readonly readable: Readable; readonly length: number | null };

export const noBody: RequestBody = { kind: "none" };

export function hasBody(request: IncomingMessage, contentLength: number | null): boolean {
  return (contentLength !== null && 0 < contentLength) || request.headers["transfer-encoding"] !== undefined;
}

/** Calls `ready` once, unless the client goes away before. */
export function readBody(
  request: IncomingMessage,
  contentLength: number | null,
  ready: (body: RequestBody) => void,
): void {
  if (contentLength !== null && wholeUpToBytes < contentLength) {
    ready({ kind: "stream", readable: request.pipe(new PassThrough()), length: contentLength });
    return;
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  const onData = (chunk: Buffer): void => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes <= wholeUpToBytes) return;
    request.off("data", onData).off("end", onEnd).pause();
    // A stream of our own: undici destroys what it could not send, and the client's socket must outlive that.
    const readable = new PassThrough({ highWaterMark: 2 * wholeUpToBytes });
    for (const kept of chunks) readable.write(kept);
    request.pipe(readable);
    ready({ kind: "stream", readable, length: contentLength });
  };
  const onEnd = (): void => ready({ kind: "whole", bytes: Buffer.concat(chunks, bytes) });
  request.on("data", onData).on("end", onEnd);
}
