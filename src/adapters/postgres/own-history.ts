/** A member's own timeline history and WAL, from its files. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { formatLsn, type Lsn } from "../../core/model/lsn.ts";
import type { TimelineFork } from "../../core/model/record.ts";
import { readControlFile } from "./control-file.ts";
import { cutHistory, parseHistory, type Stretch } from "./history.ts";
import { readSegment, segmentName, segmentSize } from "./wal-files.ts";
import type { WalSource } from "./wal-reader.ts";

/**
 * Cut where the WAL ends. It goes by the newest history file, as recovery does, of a timeline that there is WAL of: a receiver
 * fetches every history of a primary that it connects to, before it is refused for another than its own.
 */
export function readOwnHistory(dataDir: string, end: Lsn): readonly Stretch[] {
  return ownOf(readWalFolder(dataDir), end);
}

/**
 * Files of timelines that a member whose WAL ends at `end` has heard of and has nothing of; never of the one that its last
 * checkpoint was on, without which it does not start.
 */
export function unwrittenHistories(dataDir: string, end: Lsn): readonly string[] {
  const folder = readWalFolder(dataDir);
  const own = ownOf(folder, end).at(-1)?.timeline ?? 1;
  const kept = Math.max(own, readControlFile(dataDir)?.timeline ?? Number.POSITIVE_INFINITY);
  return folder.histories
    .map((history) => history.at(-1)?.timeline ?? 1)
    .filter((timeline) => kept < timeline)
    .map((timeline) => join(dataDir, "pg_wal", historyFileName(timeline)));
}

interface WalFolder {
  readonly files: ReadonlySet<string>;
  /** Newest first, each as its file says it; the last is of the control file, where its timeline has none. */
  readonly histories: readonly (readonly Stretch[])[];
  readonly segmentBytes: number;
}

function readWalFolder(dataDir: string): WalFolder {
  const walDir = join(dataDir, "pg_wal");
  const files = new Set(readdirSync(walDir));
  const told = [...files]
    .filter((name) => /^[0-9A-F]{8}\.history$/.test(name))
    .map((name) => Number.parseInt(name, 16))
    .toSorted((a, b) => b - a)
    .map((timeline) => parseHistory(timeline, readHistoryFile(walDir, timeline)));
  // Timeline 1 has no file, and neither has a later one whose file was removed.
  const { timeline } = readControlFile(dataDir) ?? { timeline: 1 };
  const first = files.has(historyFileName(timeline)) ? [] : [parseHistory(timeline, "")];
  return { files, histories: [...told, ...first], segmentBytes: segmentSize(walDir) };
}

function ownOf({ files, histories, segmentBytes }: WalFolder, end: Lsn): readonly Stretch[] {
  const cut = histories.map((history) => cutHistory(history, end));
  const isWritten = (history: readonly Stretch[]) =>
    files.has(segmentName(history.at(-1)?.timeline ?? 1, Math.max(0, end - 1), segmentBytes));
  return cut.find(isWritten) ?? cut[0] ?? [];
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

/** Which timeline a member is on, for who asks ten times a second: the folder is read again when a file has come or gone. */
export class OwnTimeline {
  readonly #dataDir: string;
  #changedAt = -1n;
  #folder: WalFolder | null = null;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  /** `end`: where its WAL ends. */
  at(end: Lsn): number {
    const { mtimeNs } = statSync(join(this.#dataDir, "pg_wal"), { bigint: true });
    if (this.#folder === null || mtimeNs !== this.#changedAt) this.#folder = readWalFolder(this.#dataDir);
    this.#changedAt = mtimeNs;
    return ownOf(this.#folder, end).at(-1)?.timeline ?? 1;
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
