/**
 * A disk that failed: nothing is started on it, and nothing copied to it, before it was looked at.
 *
 * T1. After an I/O error the disk must take a small file for good before anything else is tried.
 * T2. One that takes it, and fails again, is left alone for longer each time: small files are no proof, and a server that is
 *     started again and again, or a base backup that ends in the middle again and again, wears down more than this disk.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { InstantMs } from "../../core/model/time.ts";
import type { Account } from "./account.ts";
import { DatabaseError } from "./database-error.ts";
import { writeDurable } from "./durable-file.ts";

/** After the first I/O error, doubled with each: longer than a bus is reset, and the longest a person has to wait. */
const restFirstMs = 5000;
const restMaxMs = 600_000;

/** A file system that met an I/O error may let nobody write to it any more. */
const ownCodes = ["EIO", "EROFS"];
/** The same in the log of a server that did not start: in English, its language is ours. */
const saidByServer = /Input\/output error|Read-only file system/;

export class DiskTrouble {
  readonly #member: string;
  readonly #probe: string;
  readonly #account: Account;
  readonly #now: () => InstantMs;
  #failures = 0;
  #because = "";
  #restUntil = Number.NEGATIVE_INFINITY;

  constructor(options: {
    readonly member: string;
    readonly stateDir: string;
    readonly account: Account;
    readonly now: () => InstantMs;
  }) {
    this.#member = options.member;
    this.#probe = join(options.stateDir, "disk-probe");
    this.#account = options.account;
    this.#now = options.now;
  }

  /** What needs the disk, or why it is not tried (HOLDFAST_PG_DISK). */
  async guard<T>(act: () => Promise<T>): Promise<T> {
    if (0 < this.#failures) await this.#look();
    try {
      const done = await act();
      this.#failures = 0;
      return done;
    } catch (error) {
      this.#note(error);
      throw error;
    }
  }

  #note(error: unknown): void {
    if (!isIoError(error)) return;
    const restMs = Math.min(restMaxMs, restFirstMs * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    this.#because = textOf(error);
    this.#restUntil = this.#now() + restMs;
  }

  async #look(): Promise<void> {
    const failed = `the disk of ${this.#member} has failed (${this.#because})`;
    const advice =
      'look at it (dmesg, smartctl), mend or replace it; data that cannot be read are to be moved away, and "holdfast agent" started anew tries at once';
    try {
      // T1
      await writeDurable(this.#probe, "x".repeat(8192), this.#account);
      await rm(this.#probe, { force: true });
    } catch (cause) {
      throw this.#error(`${failed} and takes nothing now (${textOf(cause)}): ${advice}`, cause);
    }
    // T2
    const leftMs = this.#restUntil - this.#now();
    if (0 < leftMs)
      throw this.#error(`${failed}: it is tried again in ${Math.ceil(leftMs / 1000)} s; ${advice}`);
  }

  #error(message: string, cause?: unknown): DatabaseError {
    return new DatabaseError("HOLDFAST_PG_DISK", message, { retryable: true, cause });
  }
}

/** Of this host: what a primary says of its own disk is none of ours. */
export function isIoError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  if (code === "HOLDFAST_PG_START" && saidByServer.test(error.message)) return true;
  return (code !== undefined && ownCodes.includes(code)) || isIoError(error.cause);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
