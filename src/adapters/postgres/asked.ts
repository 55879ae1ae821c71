/** The other side of a forerunner: PostgreSQL's own WAL receiver, heard as a server hears it. */
import type { Socket } from "node:net";
import { headerBytes, type Message, MessageCutter } from "./messages.ts";

/** What a WAL receiver says that takes us for its upstream, one thing after the other. */
export class Asked {
  readonly #receiver: Socket;
  readonly #cutter = new MessageCutter();
  #messages: Message[] = [];
  #wake: () => void = () => undefined;
  #first: Buffer | null = Buffer.alloc(0);
  #upstream: Socket | null = null;

  constructor(receiver: Socket) {
    this.#receiver = receiver;
    receiver.on("data", (chunk: Buffer) => {
      try {
        this.#take(chunk);
      } catch {
        receiver.destroy();
      }
    });
    receiver.on("close", () => this.#wake());
  }

  #take(chunk: Buffer): void {
    if (this.#upstream !== null) {
      this.#upstream.write(chunk);
      return;
    }
    let rest = chunk;
    if (this.#first !== null) {
      // The first packet has no type.
      const bytes = Buffer.concat([this.#first, chunk]);
      this.#first = bytes;
      if (bytes.length < 4 || bytes.length < bytes.readUInt32BE(0)) return;
      this.#first = null;
      rest = bytes.subarray(bytes.readUInt32BE(0));
    }
    this.#messages.push(...this.#cutter.take(rest));
    this.#wake();
  }

  async startUp(): Promise<void> {
    while (this.#first !== null) await this.#more();
  }

  async query(): Promise<string> {
    for (;;) {
      const said = await this.#next();
      if (said.type === "Q") return said.bytes.toString("utf8", headerBytes, said.bytes.length - 1);
    }
  }

  async copyDone(): Promise<void> {
    while ((await this.#next()).type !== "c");
  }

  /** What has been said beyond the last question goes there first. */
  passTo(upstream: Socket): void {
    this.#upstream = upstream;
    upstream.write(Buffer.concat([...this.#messages.map(({ bytes }) => bytes), this.#cutter.rest]));
  }

  async #next(): Promise<Message> {
    for (;;) {
      const said = this.#messages.shift();
      if (said) return said;
      await this.#more();
    }
  }

  async #more(): Promise<void> {
    if (this.#receiver.destroyed) throw new Error("the receiver left");
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }
}
