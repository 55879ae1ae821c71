/**
 * What the machine itself did during a run. All regions of a lab share its disk and its cores: when those stand still, every
 * member of etcd and every database does in the same moment, and a long gap tells of the machine, not of the failover.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import type { InstantMs, SpanMs } from "../../core/model/time.ts";

export interface Stall {
  readonly at: InstantMs;
  readonly ms: SpanMs;
}

/** The longest each; null: not measured. */
export interface Stalls {
  /** One flush of a block to the disk of the lab. */
  readonly disk: Stall | null;
  /** How late a thread that has nothing else to do was woken. */
  readonly cpu: Stall | null;
}

export class MachineWatch implements AsyncDisposable {
  readonly #thread: Worker;
  #longest: Stalls = { disk: null, cpu: null };

  private constructor(path: string) {
    this.#thread = new Worker(new URL("machine-watch-thread.ts", import.meta.url), { workerData: path });
    this.#thread.on("message", ({ disk, cpu }: { readonly disk: Stall; readonly cpu: Stall }) => {
      this.#longest = { disk: longer(this.#longest.disk, disk), cpu: longer(this.#longest.cpu, cpu) };
    });
    // A disk that takes no write is found by all who need it; what was seen so far may lack the longest.
    this.#thread.on("error", () => {
      this.#longest = { disk: null, cpu: null };
    });
  }

  /** In `folder` it keeps a file of one block, which whoever removes the lab removes. */
  static async start(folder: string): Promise<MachineWatch> {
    const watch = new MachineWatch(join(folder, `machine-watch-${randomUUID().slice(0, 8)}`));
    await once(watch.#thread, "online");
    return watch;
  }

  /** Since it was started. */
  get longest(): Stalls {
    return this.#longest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread.terminate();
  }
}

function longer(one: Stall | null, other: Stall): Stall {
  return one === null || one.ms < other.ms ? other : one;
}
