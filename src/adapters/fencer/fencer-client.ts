/** Asks the fencer beside a member over its unix socket, with a deadline for every question. */
import { connect, type Socket } from "node:net";
import { HoldfastError } from "../../core/model/error-code.ts";
import type { Epoch } from "../../core/model/id.ts";
import { type InstantMs, NEVER, type SpanMs } from "../../core/model/time.ts";
import type { Fencer, FencerState } from "../../ports/fencer.ts";
import type { FencerQuestion, FencerReply } from "./wire.ts";

export interface FencerClientOptions {
  readonly socketPath: string;
  /**
   * How long a pet or a disarm waits for its answer; some 0.1 ms is usual, arming waits for one fsync.
   * Longer: a slow disk at arming costs no claim. Shorter: a dead fencer is noticed sooner. Default 500 ms.
   */
  readonly timeoutMs?: SpanMs;
}

/** More than this unanswered, and nobody reads at the other end. */
const waitingMax = 256;

type QuestionBody = FencerQuestion extends infer Q ? (Q extends unknown ? Omit<Q, "id"> : never) : never;

/**
 * `pet` and `disarm` resolve with what the fencer answered; when it does not answer, they reject with
 * HOLDFAST_FENCER_UNREACHABLE (retryable), and nothing is known. Connects again by itself with the next question.
 */
export class FencerClient implements Fencer {
  readonly #path: string;
  readonly #timeoutMs: SpanMs;
  readonly #waiting = new Map<number, Waiting>();
  #socket: Socket | null = null;
  #lastId = 0;
  #closed = false;
  /** Why the last pet or disarm was refused, for the record; empty when it was taken. */
  lastRefusal = "";

  constructor(options: FencerClientOptions) {
    this.#path = options.socketPath;
    this.#timeoutMs = options.timeoutMs ?? 500;
  }

  async pet(request: { readonly epoch: Epoch; readonly deadline: InstantMs }): Promise<boolean> {
    const reply = await this.#ask({ ask: "pet", ...request }, this.#timeoutMs);
    this.lastRefusal = reply.because;
    return reply.done;
  }

  async disarm(request: { readonly epoch: Epoch }): Promise<boolean> {
    const reply = await this.#ask({ ask: "disarm", ...request }, this.#timeoutMs);
    this.lastRefusal = reply.because;
    return reply.done;
  }

  async state(timeoutMs: SpanMs): Promise<FencerState> {
    const { state } = await this.#ask({ ask: "state" }, timeoutMs);
    return { ...state, deadline: state.deadline ?? (state.armed ? NEVER : Number.NEGATIVE_INFINITY) };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#drop("the client was closed");
  }

  #ask(body: QuestionBody, timeoutMs: SpanMs): Promise<FencerReply> {
    if (this.#closed) return Promise.reject(this.#unreachable(body.ask, "the client was closed"));
    if (waitingMax <= this.#waiting.size) this.#drop(`${waitingMax} questions without an answer`);
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#settle(id)?.reject(this.#unreachable(body.ask, `no answer within ${timeoutMs} ms`)),
        timeoutMs,
      );
      this.#waiting.set(id, { ask: body.ask, resolve, reject, timer });
      this.#open().write(`${JSON.stringify({ id, ...body })}\n`);
    });
  }

  #open(): Socket {
    if (this.#socket !== null) return this.#socket;
    const socket = connect(this.#path);
    this.#socket = socket;
    let rest = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => {
      rest += chunk;
      for (let end = rest.indexOf("\n"); 0 <= end; end = rest.indexOf("\n")) {
        const reply = JSON.parse(rest.slice(0, end)) as FencerReply;
        rest = rest.slice(end + 1);
        this.#settle(reply.id)?.resolve(reply);
      }
    });
    const lost = (because: string) => {
      if (this.#socket === socket) this.#drop(because);
    };
    socket.on("error", (error) => lost(error.message));
    socket.on("close", () => lost("the connection was closed"));
    // The agent may end with a connection open: the fencer does not mind.
    socket.unref();
    return socket;
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (waiting !== undefined) clearTimeout(waiting.timer);
    return waiting;
  }

  #drop(because: string): void {
    this.#socket?.destroy();
    this.#socket = null;
    for (const [id, { ask }] of this.#waiting) this.#settle(id)?.reject(this.#unreachable(ask, because));
  }

  #unreachable(ask: string, because: string): HoldfastError {
    return new HoldfastError(
      "HOLDFAST_FENCER_UNREACHABLE",
      `cannot ask the fencer at ${this.#path} (${ask}): ${because}; see whether its process runs`,
    );
  }
}

interface Waiting {
  readonly ask: string;
  readonly resolve: (reply: FencerReply) => void;
  readonly reject: (error: HoldfastError) => void;
  readonly timer: NodeJS.Timeout;
}
