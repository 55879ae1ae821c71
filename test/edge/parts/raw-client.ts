/** A client that says what it is told to, byte for byte, and keeps what it hears. */
import { connect, type Socket } from "node:net";

export interface RawClient extends Disposable {
  readonly socket: Socket;
  readonly text: string;
  readonly isClosed: boolean;
}

/** `http`: the URL of an edge. */
export function openRaw(http: string, first = ""): RawClient {
  const socket = connect({ host: "127.0.0.1", port: Number(new URL(http).port) });
  const raw = {
    socket,
    text: "",
    isClosed: false,
    [Symbol.dispose]: () => {
      socket.destroy();
    },
  };
  socket
    .on("data", (bytes: Buffer) => {
      raw.text += bytes.toString("latin1");
    })
    .on("error", () => undefined)
    .on("close", () => {
      raw.isClosed = true;
    });
  if (first !== "") socket.write(first);
  return raw;
}
