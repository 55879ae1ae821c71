/** Keeps what is on a returned member beyond the point where the histories part, and lists what is in it. */
import { copyFile, mkdir, open, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Lsn } from "../../core/model/lsn.ts";
import { formatLsn } from "../../core/model/lsn.ts";
import type { Divergence, LostTransaction } from "../../ports/database.ts";
import type { Account } from "./account.ts";
import { makePrivateFolder, syncFolder, writeDurable } from "./durable-file.ts";
import type { Stretch } from "./history.ts";
import { walAlong } from "./own-history.ts";
import { segmentName } from "./wal-files.ts";
import { findFirstRecord, readCommit, readRecords, type WalSource } from "./wal-reader.ts";

/** Resolves when the copy is on disk for good. `folder` is made. */
export async function keepTail(request: {
  readonly dataDir: string;
  readonly history: readonly Stretch[];
  readonly forkedAt: Lsn;
  readonly endedAt: Lsn;
  readonly folder: string;
  readonly account: Account;
}): Promise<Divergence> {
  const { history, forkedAt, endedAt, folder, account } = request;
  const walDir = join(request.dataDir, "pg_wal");
  const source = walAlong(walDir, history);
  const transactions = listCommits(source, forkedAt, endedAt);
  await makePrivateFolder(dirname(folder), account);
  await mkdir(folder, { mode: 0o700 });
  const wanted = new Set<string>();
  for (const stretch of history)
    for (
      let at = Math.max(stretch.begin, forkedAt - (forkedAt % source.segmentBytes));
      at < Math.min(stretch.end, endedAt);
      at += source.segmentBytes - (at % source.segmentBytes)
    )
      wanted.add(segmentName(stretch.timeline, at, source.segmentBytes));
  for (const name of await readdir(walDir))
    if (wanted.has(name) || name.endsWith(".history"))
      await copyDurably(join(walDir, name), join(folder, name));
  const divergence: Divergence = { forkedAt, endedAt, keptIn: folder, transactions };
  const told = { ...divergence, forkedAt: formatLsn(forkedAt), endedAt: formatLsn(endedAt) };
  await writeDurable(join(folder, "transactions.json"), `${JSON.stringify(told, null, 2)}\n`, account);
  await syncFolder(folder);
  await syncFolder(dirname(folder));
  return divergence;
}

/** Transactions whose commit record begins in [`from`, `to`). */
export function listCommits(source: WalSource, from: Lsn, to: Lsn): readonly LostTransaction[] {
  // Histories part where a record ends, so one begins there; where not, the page tells the next that does.
  let start: Lsn | null = from;
  if (readRecords(source, from).next().done === true) start = findFirstRecord(source, from);
  if (start === null) return [];
  const found: LostTransaction[] = [];
  for (const record of readRecords(source, start)) {
    if (to <= record.lsn) break;
    const commit = record.lsn < from ? null : readCommit(record);
    if (commit !== null) found.push(commit);
  }
  return found;
}

async function copyDurably(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  const file = await open(to, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
