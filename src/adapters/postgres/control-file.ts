/** The few fields of global/pg_control whose place has been the same in PostgreSQL 11 to 18. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Lsn } from "../../core/model/lsn.ts";

export interface ControlFile {
  readonly systemId: string;
  /** How it was left. Only the first two are orderly ends (`DBState` in pg_control.h). */
  readonly state: "shut down" | "shut down in recovery" | "other";
  /** Where its latest checkpoint record begins: everything before is on disk. */
  readonly position: Lsn;
  readonly timeline: number;
}

/** null when there is none or it is cut short. */
export function readControlFile(dataDir: string): ControlFile | null {
  let bytes: Buffer;
  try {
    bytes = readFileSync(join(dataDir, "global", "pg_control"));
  } catch {
    return null;
  }
  // x86-64 and arm64 write little endian: system_identifier 0, pg_control_version 8, state 16, checkPoint 32,
  // checkPointCopy 40 (redo, then ThisTimeLineID at 48).
  if (bytes.length < 296) return null;
  const state = bytes.readUInt32LE(16);
  return {
    systemId: String(bytes.readBigUInt64LE(0)),
    state: state === 1 ? "shut down" : state === 2 ? "shut down in recovery" : "other",
    position: Number(bytes.readBigUInt64LE(32)),
    timeline: bytes.readUInt32LE(48),
  };
}
