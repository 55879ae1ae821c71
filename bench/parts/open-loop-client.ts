/**
 * An open-loop client as a process of its own: requests at constant rates, whatever became of those before.
 *
 * Raw sockets and not a library, so that it costs little beside what it measures; between two requests it sleeps for a
 * tenth of a millisecond at most, since the timers of Node keep whole milliseconds only.
 */
import { connect, type Socket } from "node:net";
import type { LoadOrder, LoadResult } from "./open-loop.ts";

const connectionsMax = 4000;
const napMs = 0.1;
const cell = new Int32Array(new SharedArrayBuffer(4));

process.once("message", (order: LoadOrder) => {
  run(order).then(
    (result) => process.send?.(result, () => process.disconnect()),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});

interface Asked {
  readonly at: number;
  readonly socket: Socket;
  text: string;
}

async function run({ host, port, streams, forMs, timeoutMs }: LoadOrder): Promise<LoadResult> {
  const room = streams.reduce((sum, { perSecond }) => sum + Math.ceil((perSecond * forMs) / 1000) + 1, 0);
  const result: LoadResult = {
    stream: new Uint8Array(room),
    dueMs: new Float64Array(room),
    sentMs: new Float64Array(room),
    tookMs: new Float64Array(room).fill(Number.POSITIVE_INFINITY),
    status: new Uint16Array(room),
    tries: new Uint16Array(room),
    count: 0,
  };
  // They begin at different moments, so that they do not come in steps.
  const sources = streams.map(({ request, perSecond }, n) => ({
    bytes: Buffer.from(request, "latin1"),
    everyMs: 1000 / perSecond,
    nextMs: ((n / streams.length) * 1000) / perSecond,
  }));
  const idle: Socket[] = [];
  /** In the order in which they were sent: the first is the oldest. */
  const asked = new Map<Socket, Asked>();
  const began = performance.now();
  const since = () => performance.now() - began;

  const end = (socket: Socket): void => {
    asked.delete(socket);
    const at = idle.indexOf(socket);
    if (0 <= at) idle.splice(at, 1);
    socket.destroy();
  };
  const open = (): Socket => {
    const socket = connect({ host, port, noDelay: true });
    socket.setEncoding("latin1");
    return socket
      .on("data", (text) => read(socket, String(text)))
      .on("end", () => end(socket))
      .on("error", () => end(socket))
      .on("close", () => end(socket));
  };
  const read = (socket: Socket, text: string): void => {
    const one = asked.get(socket);
    if (!one) return end(socket);
    one.text += text;
    const answer = wholeAnswer(one.text);
    if (answer === null) return;
    asked.delete(socket);
    result.tookMs[one.at] = since() - (result.dueMs[one.at] as number);
    result.status[one.at] = answer.status;
    result.tries[one.at] = answer.tries;
    if (answer.closes) socket.destroy();
    else idle.push(socket);
  };
  const ask = (stream: number, bytes: Buffer, dueMs: number): void => {
    const at = result.count++;
    result.stream[at] = stream;
    result.dueMs[at] = dueMs;
    if (connectionsMax <= asked.size) {
      // As a client's own limit would: it counts as not answered.
      result.sentMs[at] = Number.POSITIVE_INFINITY;
      return;
    }
    const socket = idle.pop() ?? open();
    asked.set(socket, { at, socket, text: "" });
    result.sentMs[at] = since();
    socket.write(bytes);
  };

  for (let now = since(); now < forMs || asked.size > 0; now = since()) {
    for (const [stream, source] of sources.entries())
      for (; source.nextMs <= now && source.nextMs < forMs; source.nextMs += source.everyMs)
        ask(stream, source.bytes, source.nextMs);
    for (const { at, socket } of asked.values()) {
      if (now < (result.dueMs[at] as number) + timeoutMs) break;
      end(socket);
    }
    Atomics.wait(cell, 0, 0, napMs);
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (const socket of idle) socket.destroy();
  return result;
}

/** null: more is to come. With a length, or chunked and without trailers: as all that is measured here answers. */
function wholeAnswer(text: string): { status: number; tries: number; closes: boolean } | null {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return null;
  const head = text.slice(0, headEnd).toLowerCase();
  const length = /\r\ncontent-length: *(\d+)/.exec(head);
  if (length ? text.length < headEnd + 4 + Number(length[1]) : !text.endsWith("\r\n0\r\n\r\n")) return null;
  return {
    status: Number(head.slice(9, 12)),
    tries: Number(/\r\nx-holdfast-tries: *(\d+)/.exec(head)?.[1] ?? 0),
    closes: head.includes("\r\nconnection: close"),
  };
}
