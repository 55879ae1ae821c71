/** A client of HTTP/2 that writes frames itself, and so can write what no library would. */
import { once } from "node:events";
import { connect } from "node:net";
import type { TestEdge } from "./edges.ts";

const typeNames = [
  ...["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS"],
  ...["PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"],
];
const endStream = 1;
const endHeaders = 4;

export interface Frames extends AsyncDisposable {
  readonly isClosed: boolean;
  readonly closed: Promise<unknown>;
  /** Of all frames that came, in order. */
  readonly types: readonly string[];
  /** Of all answers that came. */
  readonly statuses: readonly string[];
  write(...frames: readonly Buffer[]): boolean;
  drained(): Promise<unknown>;
  stopReading(): void;
  /** `fields` instead of a plain GET: names and values as they are, without HPACK's tables. */
  headers(stream: number, how: { end?: boolean; more?: boolean; fields?: readonly Field[] }): Buffer;
  continuation(stream: number): Buffer;
  data(stream: number, body: string, end?: boolean): Buffer;
  /** `code`: CANCEL unless it says otherwise. */
  reset(stream: number, code?: number): Buffer;
  settings(): Buffer;
  ping(): Buffer;
}

export type Field = readonly [name: string, value: string];

export const plainGet: readonly Field[] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "a"],
  [":path", "/x"],
];

export async function openFrames(edge: TestEdge): Promise<Frames> {
  const socket = connect({ host: "127.0.0.1", port: Number(new URL(edge.http).port), noDelay: true });
  await once(socket, "connect");
  const types: string[] = [];
  const statuses: string[] = [];
  let unread = Buffer.alloc(0);
  let isClosed = false;
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket
    .on("error", () => undefined)
    .on("close", () => {
      isClosed = true;
    })
    .on("data", (bytes: Buffer) => {
      unread = Buffer.concat([unread, bytes]);
      while (unread.length >= 9 && unread.length >= 9 + unread.readUIntBE(0, 3)) {
        const type = typeNames[unread[3] as number] ?? "unknown";
        types.push(type);
        const end = 9 + unread.readUIntBE(0, 3);
        if (type === "HEADERS") statuses.push(statusOf(unread.subarray(9, end)));
        unread = unread.subarray(end);
      }
    });
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.write(frame(4, 0, 0));
  return {
    get isClosed() {
      return isClosed;
    },
    closed,
    types,
    statuses,
    write: (...frames) => socket.write(Buffer.concat(frames)),
    drained: () => new Promise((resolve) => socket.once("drain", resolve)),
    stopReading: () => socket.pause(),
    headers: (stream, { end = false, more = false, fields = plainGet }) =>
      frame(1, (end ? endStream : 0) | (more ? 0 : endHeaders), stream, block(fields)),
    continuation: (stream) => frame(9, 0, stream, block([["x-more", "y".repeat(1000)]])),
    data: (stream, body, end = true) => frame(0, end ? endStream : 0, stream, Buffer.from(body, "latin1")),
    reset: (stream, code = 8) => frame(3, 0, stream, Buffer.from([0, 0, 0, code])),
    settings: () => frame(4, 0, 0, Buffer.from([0, 4, 0, 1, 0, 0])),
    ping: () => frame(6, 0, 0, Buffer.alloc(8)),
    [Symbol.asyncDispose]: async () => {
      socket.destroy();
      await closed;
    },
  };
}

function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** RFC 7541 section 6.2.2: literals without indexing, without Huffman coding. */
function block(fields: readonly Field[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]));
}

/** RFC 7541 appendix A: 8 to 14 of the static table are `:status`, and it comes first; others are no success. */
function statusOf(payload: Buffer): string {
  const named = ["200", "204", "206", "304", "400", "404", "500"];
  return named[(payload[0] as number) - 0x88] ?? "another";
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}
