/** One worker as the first process sees it: what it was told, what it said, and that it ends. */
import type { Worker } from "node:cluster";
import type { FromWorker, Told, ToWorker, WorkerFailure } from "./worker-wire.ts";

export interface WorkerOwner {
  /** It can be spoken to, and has been told nothing yet. */
  up(worker: WorkerProcess): void;
  listening(worker: WorkerProcess, message: FromWorker & { kind: "listening" }): void;
  wentOn(worker: WorkerProcess): void;
  offered(worker: WorkerProcess): void;
  lines(text: string, lines: number): void;
  ended(worker: WorkerProcess, how: string): void;
}

export class WorkerProcess {
  readonly index: number;
  readonly pid: number;
  readonly startedAt: number;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, (told: Told | null) => void>();
  #ids = 0;
  #silentLooks = 0;
  /** The number of the newest table that it goes by; 0: none; null: it has not been told to begin. */
  goesBy: number | null = null;
  isListening = false;
  hasEnded = false;
  /** Why it could not begin. */
  failure: WorkerFailure | null = null;
  last: Told | null = null;
  offered: Readonly<Record<string, number>> = {};

  constructor(worker: Worker, index: number, startedAt: number, owner: WorkerOwner) {
    this.#worker = worker;
    this.index = index;
    this.pid = worker.process.pid ?? 0;
    this.startedAt = startedAt;
    worker.on("message", (message: FromWorker) => this.#hear(message, owner));
    // What cannot be sent any more: its end is on the way.
    worker.on("error", () => undefined);
    // Both: its last words may be read after its exit is known.
    let [how, isCut] = ["", false];
    const over = (): void => {
      if (how === "" || !isCut) return;
      this.hasEnded = true;
      for (const settle of this.#waiting.values()) settle(null);
      this.#waiting.clear();
      owner.ended(this, how);
    };
    worker.on("exit", (code, signal) => {
      how = signal ? `by ${signal}` : `with code ${code}`;
      over();
    });
    worker.on("disconnect", () => {
      isCut = true;
      over();
    });
  }

  /** How many looks in a row it has said nothing; one that listens tells of itself every second. */
  lookAtSilence(): number {
    this.#silentLooks = this.isListening ? this.#silentLooks + 1 : 0;
    return this.#silentLooks;
  }

  say(message: ToWorker): void {
    if (this.#worker.isConnected()) this.#worker.send(message);
  }

  /** null: not within that time. */
  ask(kind: "tell" | "reload", withinMs: number): Promise<Told | null> {
    if (this.hasEnded || !this.isListening) return Promise.resolve(null);
    const id = ++this.#ids;
    return new Promise((resolve) => {
      const settle = (told: Told | null): void => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve(told);
      };
      const timer = setTimeout(settle, withinMs, null);
      this.#waiting.set(id, settle);
      this.say({ kind, id });
    });
  }

  kill(): void {
    this.#worker.process.kill("SIGKILL");
  }

  #hear(message: FromWorker, owner: WorkerOwner): void {
    this.#silentLooks = 0;
    switch (message.kind) {
      case "up":
        return owner.up(this);
      case "listening":
        this.isListening = true;
        return owner.listening(this, message);
      case "failed":
        this.failure = message.error;
        return;
      case "goes-by":
        this.goesBy = message.order;
        return owner.wentOn(this);
      case "told":
        this.last = message.told;
        if (message.id !== null) this.#waiting.get(message.id)?.(message.told);
        return;
      case "reloaded":
        this.#waiting.get(message.id)?.(null);
        return;
      case "offered":
        this.offered = message.offered;
        return owner.offered(this);
      case "lines":
        return owner.lines(message.text, message.lines);
      default:
        message satisfies never;
    }
  }
}
