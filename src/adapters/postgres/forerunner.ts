/**
 * A replication connection that a standby will need if another member is promoted, made before that: connected and
 * authenticated all the time, and in the moment of a claim it runs ahead and takes the new timeline into memory.
 *
 * Far away this is what a change of primary waits for longest. A WAL receiver connects, authenticates, asks who is there,
 * asks for the WAL and gets a segment from its beginning: six round trips and more, one after the other, while every commit
 * waits for it. With a forerunner it finds all of that on its own machine.
 *
 * R1. Nothing reaches the standby before it is told to follow: until then no primary of the epoch has committed (F2).
 * R2. Nothing is acknowledged here: the upstream hears of what is flushed only what the standby's own receiver says.
 * R3. Whatever does not fit ends the connection: the receiver then takes the way that it takes without us.
 */
import { once } from "node:events";
import { chown, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import type { Client } from "pg";
import { formatLsn, type Lsn, parseLsn } from "../../core/model/lsn.ts";
import type { SpanMs } from "../../core/model/time.ts";
import type { Address } from "../../core/model/topology.ts";
import type { Account } from "./account.ts";
import { Asked } from "./asked.ts";
import { parseHistory } from "./history.ts";
import { fieldsOf, headerBytes, type Message, MessageCutter, message, query, textRow } from "./messages.ts";
import { type ReplicationTarget, replicationClient } from "./replication.ts";
import { destroy } from "./session.ts";

/** The upstream is asked so often whether it is promoted, while it has been claimed for. */
const askEveryMs = 20;
/** What has been asked and not been answered yet, at most. */
const questionsMax = 32;
/** A promotion that has not come by then comes without us. */
const aheadMaxMs = 10_000;
/** WAL in memory: more is left in the network. */
const heldMaxBytes = 32 * 1024 * 1024;
/** How long a receiver waits here for what is not there yet. */
const readyWithinMs = 1000;
/** Ours is a way through the agent, which may end or stand still: the receiver goes over to its own when nothing passes. */
const quietMs = 500;
const carriedAtLeastMs = 5000;
const carriedAtMostMs = 60_000;
/** XLogData: 'd', length, 'w', begin, end, time; then WAL. */
const walAt = headerBytes + 25;
/** As PostgreSQL itself sends it. */
const sentBytes = 128 * 1024;

/** The port in the name of a socket in a folder of its own kind. */
const socketPort = 1;

/** What a standby has, and what its receiver will therefore ask for. */
export interface OwnEnd {
  readonly timeline: number;
  /** It asks from where its last segment begins. */
  readonly segment: Lsn;
  /** Where its whole records end: up to here the new timeline is a copy of its own, if it is a part of what is promoted. */
  readonly end: Lsn;
  /** Its own WAL from `segment` to `end`. */
  readonly read: () => Buffer;
}

interface Reply {
  readonly to: "identify" | "history" | "start";
  readonly parts: Buffer[];
  isRefused: boolean;
}

export class Forerunner {
  readonly #client: Client;
  readonly #socket: Socket;
  readonly #parameters: Buffer;
  readonly #cutter = new MessageCutter();
  /** Replies that are still to come, in their order. */
  readonly #replies: Reply[] = [];
  #asking: NodeJS.Timeout | undefined;
  #inVain: NodeJS.Timeout | undefined;
  #from: OwnEnd | null = null;
  #systemId = "";
  #timeline = 0;
  #history: Buffer | null = null;
  #historyText = "";
  /** CopyBothResponse, then the stream since. */
  #start: Buffer | null = null;
  #held: Message[] = [];
  #heldBytes = 0;
  #takes: (chunk: Buffer) => void = (chunk) => this.#read(chunk);
  #isClosed = false;
  readonly #closing: (() => void)[] = [];
  readonly #waiting: (() => void)[] = [];

  private constructor(client: Client, socket: Socket, parameters: Buffer) {
    this.#client = client;
    this.#socket = socket;
    this.#parameters = parameters;
    // From here on nobody but us reads what comes.
    socket.removeAllListeners("data");
    socket.on("data", (chunk: Buffer) => {
      try {
        this.#takes(chunk);
      } catch {
        this.close();
      }
    });
    socket.on("close", () => this.close());
  }

  /** `name`: whom the upstream takes us for. Rejects when nobody answers. */
  static async open(target: ReplicationTarget, name: string, signal: AbortSignal): Promise<Forerunner> {
    const client = replicationClient(target, "physical", name);
    const { connection } = client as unknown as { connection: NodeJS.EventEmitter & { stream: Socket } };
    const parameters: Buffer[] = [];
    connection.on(
      "parameterStatus",
      (said: { readonly parameterName: string; readonly parameterValue: string }) =>
        parameters.push(message("S", Buffer.from(`${said.parameterName}\0${said.parameterValue}\0`))),
    );
    const abort = () => destroy(client);
    signal.addEventListener("abort", abort);
    try {
      signal.throwIfAborted();
      await client.connect();
      return new Forerunner(client, connection.stream, Buffer.concat(parameters));
    } catch (error) {
      destroy(client);
      throw error;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** How long one question and its answer take. */
  async roundTrip(): Promise<SpanMs> {
    const askedAt = performance.now();
    await new Promise<void>((resolve, reject) => {
      this.#closing.push(() => reject(new Error("the connection was lost")));
      this.#waiting.push(resolve);
      this.#ask("identify", "IDENTIFY_SYSTEM");
    });
    return performance.now() - askedAt;
  }

  async closed(): Promise<void> {
    if (!this.#isClosed) await new Promise<void>((resolve) => this.#closing.push(resolve));
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#asking);
    clearTimeout(this.#inVain);
    this.#held = [];
    destroy(this.#client);
    for (const tell of this.#closing.splice(0)) tell();
  }

  /**
   * The upstream has been claimed for. Often it is promoted by the time that we are heard there, and then its timeline is the
   * next: that is asked for at once, and costs a line in its log where it is too soon.
   */
  runAhead(from: OwnEnd): void {
    if (this.#from !== null || this.#isClosed) return;
    this.#from = from;
    this.#inVain = setTimeout(() => this.close(), aheadMaxMs);
    this.#askForStream(from.timeline + 1);
  }

  #askForStream(timeline: number): void {
    this.#timeline = timeline;
    this.#ask("history", `TIMELINE_HISTORY ${timeline}`);
    this.#ask("start", `START_REPLICATION ${formatLsn(this.#from?.end ?? 0)} TIMELINE ${timeline}`);
  }

  /** Too soon: as soon as it has been promoted it says which timeline it is on. */
  #askAgain(): void {
    this.#timeline = 0;
    this.#history = null;
    this.#asking = setInterval(() => {
      if (this.#replies.length < questionsMax) this.#ask("identify", "IDENTIFY_SYSTEM");
    }, askEveryMs);
    this.#ask("identify", "IDENTIFY_SYSTEM");
  }

  get isAhead(): boolean {
    return this.#from !== null && !this.#isClosed;
  }

  #ask(to: Reply["to"], text: string): void {
    this.#replies.push({ to, parts: [], isRefused: false });
    this.#socket.write(query(text));
  }

  #read(chunk: Buffer): void {
    for (const each of this.#cutter.take(chunk)) {
      if (this.#start !== null) this.#hold(each);
      else this.#hear(each);
    }
  }

  #hear(said: Message): void {
    const reply = this.#replies[0];
    if (reply === undefined || said.type === "N") return;
    if (said.type === "E") {
      reply.isRefused = true;
      return;
    }
    reply.parts.push(said.bytes);
    if (said.type === "W" && reply.to === "start") {
      this.#start = said.bytes;
      this.#wake();
    }
    if (said.type === "D" && reply.to === "identify") this.#learn(fieldsOf(said));
    if (said.type === "D" && reply.to === "history") this.#historyText = fieldsOf(said)[1] ?? "";
    if (said.type !== "Z") return;
    this.#replies.shift();
    if (reply.to === "history" && !reply.isRefused) this.#history = Buffer.concat(reply.parts);
    if (reply.to === "start" && this.#asking !== undefined) throw new Error("the upstream refused");
    if (reply.to === "start") this.#askAgain();
    if (reply.to === "identify" && this.#from === null) this.#wake();
  }

  #learn([systemId, timeline]: readonly (string | null)[]): void {
    this.#systemId = systemId ?? "";
    if (this.#from === null || this.#timeline > 0 || Number(timeline) <= this.#from.timeline) return;
    clearInterval(this.#asking);
    this.#askForStream(Number(timeline));
  }

  #hold(each: Message): void {
    this.#held.push(each);
    this.#heldBytes += each.bytes.length;
    if (heldMaxBytes < this.#heldBytes) this.#socket.pause();
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /**
   * A way for the standby's receiver, once: when it connects again it finds no socket, and takes the next of its hosts. The
   * folder is the standby's own, and nobody else may enter it.
   */
  async offer(folder: string, account: Account): Promise<Address> {
    const path = join(folder, `.s.PGSQL.${socketPort}`);
    await rm(path, { force: true });
    const server = createServer((receiver) => {
      server.close();
      void this.#serve(receiver).catch(() => {
        receiver.destroy();
        this.close();
      });
    });
    this.#closing.push(() => server.close());
    server.listen(path);
    await once(server, "listening");
    if (account.switches) await chown(path, account.uid, account.gid);
    return { host: folder, port: socketPort };
  }

  /** Says to the receiver what the upstream has said, up to the stream; from there on each hears the other. */
  async #serve(receiver: Socket): Promise<void> {
    receiver.on("error", () => undefined);
    receiver.on("close", () => this.close());
    this.#closing.push(() => receiver.destroy());
    const asked = new Asked(receiver);
    await asked.startUp();
    const ok = message("R", Buffer.alloc(4));
    const key = message("K", Buffer.alloc(8));
    receiver.write(Buffer.concat([ok, this.#parameters, key, readyForQuery]));
    for (;;) {
      const text = await asked.query();
      const told = /^TIMELINE_HISTORY (\d+)/.exec(text);
      const start = /^START_REPLICATION (?:PHYSICAL )?([0-9A-F]+\/[0-9A-F]+) TIMELINE (\d+)/.exec(text);
      await this.#until(() => this.#start !== null);
      // What ended while we waited has told nobody here.
      if (this.#isClosed) throw new Error("the upstream is gone");
      if (text.startsWith("IDENTIFY_SYSTEM")) receiver.write(this.#identity());
      else if (told && Number(told[1]) === this.#timeline) receiver.write(this.#require(this.#history));
      else if (start) {
        const lsn = parseLsn(start[1] as string);
        const from = this.#from;
        const fork = parseHistory(this.#timeline, this.#historyText).at(-2);
        if (from === null || lsn !== from.segment || fork === undefined || fork.end < from.end)
          throw new Error("it asks for what was not taken");
        receiver.write(this.#require(this.#start));
        for (const each of ownMessages(from)) receiver.write(each);
        if (Number(start[2]) === this.#timeline) return this.#pass(receiver, asked);
        if (Number(start[2]) !== fork.timeline) throw new Error("the promotion began elsewhere");
        await this.#endOldTimeline(receiver, asked, from.end, fork.end);
      } else throw new Error("it asks for what was not foreseen");
    }
  }

  /**
   * A standby that lacks the tail asks for the timeline that it is on, up to where that ended. Those bytes are in what we
   * hold: on the new timeline, WAL from before the fork is the old one's.
   */
  async #endOldTimeline(receiver: Socket, asked: Asked, from: Lsn, end: Lsn): Promise<void> {
    let at = from;
    for (let next = 0; at < end; next++) {
      await this.#until(() => next < this.#held.length);
      const { bytes } = this.#held[next] as Message;
      if (bytes[headerBytes] !== 0x77) continue;
      const body = bytes.subarray(headerBytes, Math.min(bytes.length, walAt + (end - at)));
      receiver.write(message("d", body));
      at += body.length + headerBytes - walAt;
    }
    receiver.write(message("c"));
    await asked.copyDone();
    if (this.#isClosed) throw new Error("the upstream is gone");
    const next = { next_tli: String(this.#timeline), next_tli_startpos: formatLsn(end) };
    const done = message("C", Buffer.from("START_STREAMING\0"));
    receiver.write(Buffer.concat([textRow(next), done, done, readyForQuery]));
  }

  #pass(receiver: Socket, asked: Asked): void {
    clearTimeout(this.#inVain);
    const since = performance.now();
    let lastAt = since;
    this.#takes = (chunk) => {
      // A message without WAL says that somebody is there, and nobody waits for it.
      if (chunk.length > 64) lastAt = performance.now();
      if (!receiver.write(chunk)) this.#socket.pause();
    };
    receiver.on("drain", () => this.#socket.resume());
    receiver.write(Buffer.concat([...this.#held.map(({ bytes }) => bytes), this.#cutter.rest]));
    this.#held = [];
    asked.passTo(this.#socket);
    this.#socket.resume();
    const leaving = setInterval(() => {
      const now = performance.now();
      const isQuiet = lastAt + quietMs < now && since + carriedAtLeastMs < now;
      if (isQuiet || since + carriedAtMostMs < now) this.close();
    }, quietMs / 5);
    leaving.unref();
    this.#closing.push(() => clearInterval(leaving));
  }

  /** Rejects when it has not come in time, or never will. */
  async #until(isThere: () => boolean): Promise<void> {
    const over = AbortSignal.timeout(readyWithinMs);
    while (!isThere()) {
      if (this.#isClosed || over.aborted) throw new Error("the upstream has not said it in time");
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        this.#closing.push(resolve);
        over.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  /** The upstream's own answer may be of before its promotion. */
  #identity(): Buffer {
    const { end } = this.#from as OwnEnd;
    const row = { systemid: this.#systemId, timeline: String(this.#timeline), xlogpos: formatLsn(end) };
    return Buffer.concat([textRow(row), message("C", Buffer.from("IDENTIFY_SYSTEM\0")), readyForQuery]);
  }

  #require(bytes: Buffer | null): Buffer {
    if (bytes === null) throw new Error("the upstream has not said it");
    return bytes;
  }
}

/** Its own WAL as an upstream would send it. */
function* ownMessages({ segment, end, read }: OwnEnd): Generator<Buffer> {
  const wal = read();
  if (wal.length !== end - segment) throw new Error("its own WAL is not whole");
  for (let at = 0; at < wal.length; at += sentBytes) {
    const head = Buffer.alloc(walAt - headerBytes);
    head.write("w", "latin1");
    head.writeBigUInt64BE(BigInt(segment + at), 1);
    head.writeBigUInt64BE(BigInt(end), 9);
    yield message("d", Buffer.concat([head, wal.subarray(at, at + sentBytes)]));
  }
}

const readyForQuery = message("Z", Buffer.from("I"));
