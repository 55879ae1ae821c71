/**
 * What the machine itself did during a run. All regions of a lab share its disk and its cores: when those stand still, every
 * member of etcd and every database does in the same moment, and a long gap tells of the machine, not of the failover.
 */
import { randomUUID } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { InstantMs, SpanMs } from "../../core/model/time.ts";
import { monotonicMs } from "../monotonic.ts";

export interface Stall {
  readonly at: InstantMs;
  readonly ms: SpanMs;
}

/** The longest each; null: not measured. */
export interface Stalls {
  /** One flush of a block to the disk of the lab. */
  readonly disk: Stall | null;
  /** How late a timer of the lab's process was. */
  readonly cpu: Stall | null;
}

/** Often enough that a stall of a tenth of a second is rarely missed; a block each time is nothing to a disk. */
const everyMs = 100;
const blockSize = 4096;

export class MachineWatch implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #over = new AbortController();
  readonly #watching: Promise<void>;
  readonly #seen: { readonly kind: keyof Stalls; readonly stall: Stall }[] = [];
  #failed = false;

  private constructor(file: FileHandle) {
    this.#file = file;
    // A disk that takes no write is found by all who need it; what was seen so far may lack the longest.
    this.#watching = this.#watch().catch(() => {
      this.#failed = true;
    });
  }

  /** In `folder` it keeps a file of one block, which whoever removes the lab removes. */
  static async start(folder: string): Promise<MachineWatch> {
    return new MachineWatch(await open(join(folder, `machine-watch-${randomUUID().slice(0, 8)}`), "w"));
  }

  /** Of those that were not over before `since`. */
  longest(since: InstantMs): Stalls {
    if (this.#failed) return { disk: null, cpu: null };
    const of = (kind: keyof Stalls) =>
      this.#seen
        .filter((each) => each.kind === kind && each.stall.at + each.stall.ms >= since)
        .map(({ stall }) => stall)
        .reduce<Stall | null>((most, each) => (most === null || most.ms < each.ms ? each : most), null);
    return { disk: of("disk"), cpu: of("cpu") };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#watching;
    await this.#file.close();
  }

  async #watch(): Promise<void> {
    const block = Buffer.alloc(blockSize);
    const { signal } = this.#over;
    while (!signal.aborted) {
      const flushedFrom = monotonicMs();
      await this.#file.write(block, 0, blockSize, 0);
      await this.#file.datasync();
      const restFrom = monotonicMs();
      this.#note("disk", flushedFrom, restFrom - flushedFrom);
      await sleep(everyMs, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) this.#note("cpu", restFrom + everyMs, monotonicMs() - restFrom - everyMs);
    }
  }

  #note(kind: keyof Stalls, at: InstantMs, ms: SpanMs): void {
    this.#seen.push({ kind, stall: { at, ms: Math.max(0, ms) } });
  }
}
