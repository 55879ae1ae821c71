/** The body of a request: kept whole while it is small, so that it can be sent again, else streamed once. */
import type { IncomingMessage } from "node:http";
import { PassThrough, type Readable } from "node:stream";

/** 1 MiB times the requests held at most is what memory must bear. Longer: larger uploads survive a failover. */
const wholeUpToBytes = 1024 * 1024;

export function hasBody(request: IncomingMessage, contentLength: number | null): boolean {
  return (contentLength !== null && 0 < contentLength) || request.headers["transfer-encoding"] !== undefined;
}

/** Calls `ready` once, unless the client goes away before: with all of it, or with a stream that is read once. */
export function readBody(
  request: IncomingMessage,
  contentLength: number | null,
  ready: (body: Buffer | Readable) => void,
): void {
  if (contentLength !== null && wholeUpToBytes < contentLength) {
    ready(request.pipe(new PassThrough()));
    return;
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  const onData = (chunk: Buffer): void => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes <= wholeUpToBytes) return;
    request.off("data", onData).off("end", onEnd).pause();
    // A stream of our own: the client's socket must outlive whatever becomes of it.
    const readable = new PassThrough({ highWaterMark: 2 * wholeUpToBytes });
    for (const kept of chunks) readable.write(kept);
    request.pipe(readable);
    ready(readable);
  };
  const onEnd = (): void => ready(Buffer.concat(chunks, bytes));
  request.on("data", onData).on("end", onEnd);
}
