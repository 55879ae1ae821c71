/** A member's own timeline history and WAL, from its files. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { formatLsn, type Lsn } from "../../core/model/lsn.ts";
import type { TimelineFork } from "../../core/model/record.ts";
import { readControlFile } from "./control-file.ts";
import { cutHistory, parseHistory, type Stretch } from "./history.ts";
import { readSegment, segmentSize } from "./wal-files.ts";
import type { WalSource } from "./wal-reader.ts";

/** By the newest history file, as recovery itself goes by (recovery_target_timeline = latest), cut where the WAL ends. */
export function readOwnHistory(dataDir: string, end: Lsn): readonly Stretch[] {
  const walDir = join(dataDir, "pg_wal");
  let newest = 1;
  for (const name of readdirSync(walDir)) {
    const match = /^([0-9A-F]{8})\.history$/.exec(name);
    if (match) newest = Math.max(newest, Number.parseInt(match[1] as string, 16));
  }
  // Timeline 1 has no file, and neither has a later one whose file was removed: then the control file is all there is.
  if (newest === 1) return cutHistory(parseHistory(readControlFile(dataDir)?.timeline ?? 1, ""), end);
  return cutHistory(parseHistory(newest, readHistoryFile(walDir, newest)), end);
}

/** Where `timeline` left its parent, by its own file; null: the first, or its file was removed. */
export function readFork(dataDir: string, timeline: number): TimelineFork | null {
  const text = historyText(join(dataDir, "pg_wal"), timeline);
  const [parent, own] = parseHistory(timeline, text).slice(-2);
  return parent && own ? { timeline, parent: parent.timeline, at: own.begin } : null;
}

/** What the history file of a fork's timeline says; null: this member does not know its parent's. */
export function forkText(dataDir: string, { timeline, parent, at }: TimelineFork): string | null {
  const before = historyText(join(dataDir, "pg_wal"), parent);
  if (before === "" && parent !== 1) return null;
  return `${before}${before === "" || before.endsWith("\n") ? "" : "\n"}${parent}\t${formatLsn(at)}\ttimeline ${timeline}, by the lease\n`;
}

/** Empty where there is no file: the first timeline has none. */
function historyText(walDir: string, timeline: number): string {
  try {
    return readHistoryFile(walDir, timeline);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

export function historyFileName(timeline: number): string {
  return `${timeline.toString(16).toUpperCase().padStart(8, "0")}.history`;
}

function readHistoryFile(walDir: string, timeline: number): string {
  return readFileSync(join(walDir, historyFileName(timeline)), "utf8");
}

/** Which timeline a member is on, for who asks ten times a second: the files are read again when one has come or gone. */
export class OwnTimeline {
  readonly #dataDir: string;
  #changedAt = -1n;
  #history: readonly Stretch[] = [];

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  /** `end`: where its WAL ends. */
  at(end: Lsn): number {
    const { mtimeNs } = statSync(join(this.#dataDir, "pg_wal"), { bigint: true });
    if (mtimeNs !== this.#changedAt) this.#history = readOwnHistory(this.#dataDir, Number.MAX_SAFE_INTEGER);
    this.#changedAt = mtimeNs;
    return cutHistory(this.#history, end).at(-1)?.timeline ?? 1;
  }
}

/** The WAL in `walDir` along `history`, one segment in memory at a time. */
export function walAlong(walDir: string, history: readonly Stretch[]): WalSource {
  const segmentBytes = segmentSize(walDir);
  let loaded: { readonly timeline: number; readonly begin: Lsn; readonly bytes: Buffer } | null = null;
  const timelineAt = (lsn: Lsn) =>
    history.find((each) => each.begin <= lsn && lsn < each.end)?.timeline ?? history.at(-1)?.timeline ?? 1;
  return {
    segmentBytes,
    read(lsn, length) {
      const begin = lsn - (lsn % segmentBytes);
      const timeline = timelineAt(lsn);
      if (loaded === null || loaded.timeline !== timeline || loaded.begin !== begin) {
        try {
          loaded = {
            timeline,
            begin,
            bytes: readSegment(walDir, timeline, begin, segmentBytes, segmentBytes),
          };
        } catch {
          // The segment does not exist: the WAL ends before it.
          loaded = { timeline, begin, bytes: Buffer.alloc(0) };
        }
      }
      return loaded.bytes.subarray(lsn - begin, lsn - begin + length);
    },
  };
}
