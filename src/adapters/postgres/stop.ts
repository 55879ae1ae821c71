/** Shuts a primary down in order, so that its connected standbys have all of its WAL. */
import type { Lsn } from "../../core/model/lsn.ts";
import { readControlFile } from "./control-file.ts";
import type { MemberFile } from "./member-file.ts";
import type { Server } from "./server.ts";
import { positionOfStandby } from "./standby.ts";
import { readRecordEnd } from "./wal-files.ts";

/**
 * A WAL sender leaves only when its standby has flushed all WAL, the shutdown checkpoint's record included (WalSndDone
 * in walsender.c); the postmaster leaves last. So its end proves that each standby that was connected has it all.
 */
export async function stopInOrder(server: Server, file: MemberFile, signal: AbortSignal): Promise<Lsn> {
  let standbyPosition: Lsn | null = null;
  try {
    if (server.hasProcesses()) {
      if (file.memory.role === "standby") standbyPosition = await positionOfStandby(server);
      await server.stopFast(signal);
    }
  } catch (error) {
    await server.end(AbortSignal.timeout(5000));
    throw error;
  }
  if (standbyPosition !== null) return standbyPosition;
  const control = readControlFile(server.dataDir);
  if (control === null || control.state === "other")
    throw new Error(
      `the server of ${file.memory.member} ended, but its control file does not tell an orderly shutdown`,
    );
  return readRecordEnd(server.dataDir, control.timeline, control.position);
}
