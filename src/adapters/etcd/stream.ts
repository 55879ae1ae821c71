/** One watch stream of etcd, with a heartbeat: a member that is stopped keeps its connection open and says nothing. */
import { create } from "@bufbuild/protobuf";
import type { Clients } from "./connections.ts";
import { EtcdFailure } from "./failure.ts";
import { type WatchRequest, WatchRequestSchema, type WatchResponse } from "./generated/etcd_pb.js";
import type { Range } from "./keys.ts";

/** A `WatchProgressRequest` this often, unless the last one is unanswered. */
const BEAT_MS = 300;

export class WatchStream implements Disposable {
  readonly #stop = new AbortController();
  readonly #responses: AsyncIterator<WatchResponse>;
  readonly #beat: NodeJS.Timeout;
  readonly #outbox: WatchRequest[] = [];
  #wakeSender: () => void = () => {};
  #pending: Promise<IteratorResult<WatchResponse>> | null = null;
  #unanswered = false;
  readonly #over: AbortSignal;
  readonly #onOver = () => this[Symbol.dispose]();

  constructor(
    clients: Clients,
    headers: Record<string, string>,
    range: Range,
    startRevision: number,
    over: AbortSignal,
  ) {
    // A reader that ends its watch may never ask for the next event, which is where a generator would notice.
    this.#over = over;
    over.addEventListener("abort", this.#onOver, { once: true });
    this.#send(
      create(WatchRequestSchema, {
        requestUnion: { case: "createRequest", value: { ...range, startRevision: BigInt(startRevision) } },
      }),
    );
    const signal = this.#stop.signal;
    this.#responses = clients.watch.watch(this.#requests(), { headers, signal })[Symbol.asyncIterator]();
    this.#beat = setInterval(() => {
      if (this.#unanswered) return;
      this.#unanswered = true;
      this.#send(create(WatchRequestSchema, { requestUnion: { case: "progressRequest", value: {} } }));
    }, BEAT_MS);
  }

  /** Rejects when the stream ends, when nothing comes within `silenceMaxMs`, and when the signal aborts. */
  async next(silenceMaxMs: number, signal: AbortSignal): Promise<WatchResponse> {
    this.#pending ??= this.#responses.next();
    const result = await this.#within(this.#pending, silenceMaxMs, signal);
    this.#pending = null;
    if (result.done) throw silent("the stream ended");
    this.#unanswered = false;
    return result.value;
  }

  [Symbol.dispose](): void {
    this.#over.removeEventListener("abort", this.#onOver);
    clearInterval(this.#beat);
    this.#pending?.catch(() => {});
    this.#stop.abort();
    this.#wakeSender();
  }

  #within<T>(promise: Promise<T>, ms: number, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      // A process that was stopped wakes up to its timers first: what has arrived meanwhile goes before.
      const onTime = () =>
        setImmediate(() => setImmediate(settle, () => reject(silent("an endpoint is silent"))));
      const timer = setTimeout(onTime, ms);
      const onAbort = () => settle(() => reject(silent("the watch was ended")));
      const settle = (finish: () => void) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        finish();
      };
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) onAbort();
      promise.then(
        (value) => settle(() => resolve(value)),
        (error: unknown) => settle(() => reject(error as Error)),
      );
    });
  }

  #send(request: WatchRequest): void {
    this.#outbox.push(request);
    this.#wakeSender();
  }

  async *#requests(): AsyncGenerator<WatchRequest> {
    while (!this.#stop.signal.aborted) {
      const request = this.#outbox.shift();
      if (request !== undefined) yield request;
      else await new Promise<void>((resolve) => (this.#wakeSender = resolve));
    }
  }
}

function silent(problem: string): EtcdFailure {
  return new EtcdFailure({
    code: "HOLDFAST_STORE_UNREACHABLE",
    retryable: true,
    problem,
    advice: "the watch goes on at another endpoint by itself",
    certain: true,
    next: "elsewhere",
  });
}
