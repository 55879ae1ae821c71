/**
 * What the fencer must still know when it was killed and started again.
 *
 * - M1. Two slots, written in turn: a torn write leaves the other. Written in place: a full disk does not matter.
 * - M2. A pet is written without fsync and without anybody waiting for it. The page cache survives the fencer's death, and
 *       when the host dies the member dies with it. What is behind is an earlier deadline: stricter, never laxer.
 * - M3. Arming and firing are on the disk (fdatasync) before they are answered.
 * - M4. Nothing here is synchronous after the start: a disk that hangs must not keep the fencer from firing.
 */
import { constants, mkdirSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { HoldfastError } from "../core/model/error-code.ts";
import type { Fuse } from "./fuse.ts";

export interface Kept {
  /** Boot of the host: deadlines of an earlier one mean nothing, and its processes are gone. */
  readonly boot: string;
  readonly fuse: Fuse;
  readonly fired: number;
  readonly lastFiring: string;
}

/** Apart by more than any disk's sector, so that one torn sector cannot hold both. */
const slotStride = 4096;
const slotBytes = 1024;
/** So that a slot always has room for the rest; characters may take up to six bytes in JSON. */
const firingTextMax = 100;

export class FencerMemory {
  readonly #file: FileHandle;
  #sequence: number;
  #next: Waiting | null = null;
  #writing: Promise<void> | null = null;
  /** Latest failure, for the log; empty when the last write went well. */
  problem = "";

  private constructor(file: FileHandle, sequence: number) {
    this.#file = file;
    this.#sequence = sequence;
  }

  /** `kept`: null in a new file, "unreadable" when there is something that nobody can read. */
  static async open(path: string): Promise<{ memory: FencerMemory; kept: Kept | null | "unreadable" }> {
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
      const bytes = Buffer.alloc(2 * slotStride);
      const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
      const slots = [readSlot(bytes, 0), readSlot(bytes, slotStride)];
      const newest = slots.reduce((a, b) => ((b?.sequence ?? -1) > (a?.sequence ?? -1) ? b : a), null);
      if (bytesRead === 0) {
        // Takes the room now: later writes need none.
        await file.write(Buffer.alloc(2 * slotStride, " "), 0, 2 * slotStride, 0);
        await file.sync();
      }
      const memory = new FencerMemory(file, newest?.sequence ?? 0);
      return { memory, kept: newest?.kept ?? (isBlank(bytes, bytesRead) ? null : "unreadable") };
    } catch (error) {
      throw new HoldfastError(
        "HOLDFAST_FENCER_MEMORY_UNUSABLE",
        `cannot open the fencer's state file ${path}: ${(error as Error).message}`,
        error,
      );
    }
  }

  /** Writes the newest that was given, one write at a time, so that a hanging disk holds one thread and no more (M2). */
  keep(kept: Kept): void {
    this.#next = { kept, durable: this.#next?.durable ?? false, settle: this.#next?.settle ?? [] };
    this.#start();
  }

  /** M3. Resolves with whether this, or something newer, is on the disk. Never rejects. */
  keepDurably(kept: Kept): Promise<boolean> {
    return new Promise((resolve) => {
      this.#next = { kept, durable: true, settle: [...(this.#next?.settle ?? []), resolve] };
      this.#start();
    });
  }

  #start(): void {
    this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    for (let job = this.#next; job !== null; job = this.#next) {
      this.#next = null;
      try {
        this.#sequence += 1;
        const slot = formatSlot(this.#sequence, job.kept);
        await this.#file.write(slot, 0, slot.length, (this.#sequence % 2) * slotStride);
        if (job.durable) await this.#file.datasync();
        this.problem = "";
        for (const settle of job.settle) settle(true);
      } catch (error) {
        this.problem = (error as Error).message;
        for (const settle of job.settle) settle(false);
      }
    }
    // Here and not in a `finally` of the caller's: that runs later, and what was given in between would wait for ever.
    this.#writing = null;
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }
}

interface Waiting {
  readonly kept: Kept;
  readonly durable: boolean;
  readonly settle: readonly ((done: boolean) => void)[];
}

function formatSlot(sequence: number, kept: Kept): Buffer {
  const lastFiring = kept.lastFiring.slice(0, firingTextMax);
  // JSON has no infinity: a fuse that was never armed has no deadline.
  const deadline = Number.isFinite(kept.fuse.deadline) ? kept.fuse.deadline : null;
  const text = JSON.stringify({ sequence, ...kept, lastFiring, fuse: { ...kept.fuse, deadline } });
  const sum = crc32(text).toString(16).padStart(8, "0");
  const slot = Buffer.alloc(slotBytes, " ");
  slot.write(`${sum} ${text}`);
  slot.write("\n", slotBytes - 1);
  return slot;
}

function readSlot(bytes: Buffer, at: number): { sequence: number; kept: Kept } | null {
  const slot = bytes.toString("utf8", at, at + slotStride).trimEnd();
  const text = slot.slice(9);
  if (slot.slice(0, 8) !== crc32(text).toString(16).padStart(8, "0")) return null;
  const { sequence, ...kept } = JSON.parse(text) as { sequence: number } & Kept;
  const deadline = kept.fuse.deadline ?? Number.NEGATIVE_INFINITY;
  return { sequence, kept: { ...kept, fuse: { ...kept.fuse, deadline } } };
}

/** A file that was made and never written to; all zeros is not blank but lost. */
function isBlank(bytes: Buffer, length: number): boolean {
  return length === 0 || (length === bytes.length && bytes.every((byte) => byte === 0x20));
}
