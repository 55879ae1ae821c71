/** What lies on a member's disk: PostgreSQL's data folder, and Holdfast's own file beside it. */
import type { Damage } from "../core/model/record.ts";
import type { Timeline } from "./timeline.ts";

export interface Disk {
  incarnation: string | null;
  timeline: Timeline | null;
  /** Flushed. */
  position: number;
  role: "standby" | "primary";
  /** As a primary: the epoch that it leads. */
  ledEpoch: number;
  floor: number;
  /** Of epoch `floor`. */
  publication: number;
  upstream: string | null;
  followEpoch: number;
  sealedBasis: number;
  sealedPosition: number;
  frozen: boolean;
  acknowledgements: number;
  standbys: readonly string[];
  damage: Damage | null;
}

export function emptyDisk(): Disk {
  return {
    incarnation: null,
    timeline: null,
    position: 0,
    role: "standby",
    ledEpoch: 0,
    floor: 0,
    publication: 0,
    upstream: null,
    followEpoch: 0,
    sealedBasis: 0,
    sealedPosition: 0,
    frozen: false,
    acknowledgements: 0,
    standbys: [],
    damage: null,
  };
}

export function raiseFloor(disk: Disk, epoch: number): void {
  if (epoch <= disk.floor) return;
  disk.floor = epoch;
  disk.publication = 0;
}
