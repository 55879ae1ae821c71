/**
 * Whether pages of a member's copy fail their checksum: what PostgreSQL counts, remembered in the member's file.
 *
 * PostgreSQL verifies a page when it reads it from disk, and forgets what it has counted when it crashes. The mark bears the
 * incarnation of the copy: so it outlives a restart, and a rewind, and is void when the copy is made anew.
 */
import type { Incarnation } from "../../core/model/id.ts";
import type { Damage } from "../../core/model/record.ts";
import type { WallMs } from "../../core/model/time.ts";
import type { DamageMark, MemberFile } from "./member-file.ts";

export class DamageWatch {
  readonly #file: MemberFile;
  readonly #wall: () => WallMs;
  #mark: DamageMark | null;
  #isWriting = false;

  constructor(file: MemberFile, wall: () => WallMs) {
    this.#file = file;
    this.#wall = wall;
    this.#mark = file.memory.damage ?? null;
  }

  /** Of the copy that is there now. */
  get known(): Damage | undefined {
    if (this.#mark === null || this.#mark.incarnation !== this.#file.memory.incarnation) return undefined;
    const { failures, since } = this.#mark;
    return { failures, since };
  }

  /** `failures`: as PostgreSQL has counted them for this copy, since its last crash. */
  take(incarnation: Incarnation | null, failures: number): void {
    const before = this.known;
    if (incarnation !== null && (before?.failures ?? 0) < failures)
      this.#mark = { incarnation, failures, since: before?.since ?? this.#wall() };
    this.#write();
  }

  /**
   * Beside the looks: a disk that hangs must not hold one up. What could not be written is written after a later one; a count
   * that rises with every reader when it has doubled, since each writing costs the disk two syncs.
   */
  #write(): void {
    if (this.#isWriting || this.#mark === null) return;
    const { damage } = this.#file.memory;
    if (damage?.incarnation === this.#mark.incarnation && this.#mark.failures < 2 * damage.failures) return;
    this.#isWriting = true;
    void this.#file
      .update({ damage: this.#mark })
      .catch(() => undefined)
      .finally(() => {
        this.#isWriting = false;
      });
  }
}
