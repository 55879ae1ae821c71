/** One direction between two places: when a packet that enters now leaves, or that it never does. Pure: time and chance come in. */
import type { InstantMs, SpanMs } from "../../core/model/time.ts";

export interface LineQuality {
  readonly delayMs: SpanMs;
  /** Added to the delay, evenly between 0 and this. */
  readonly jitterMs: SpanMs;
  readonly lossPercent: number;
  /** 0: no limit. */
  readonly rateMbit: number;
}

/** What a router keeps at most before it drops: 8 MiB are a second at 67 Mbit/s, and no lab's memory. */
export const keptMaxBytes = 8 << 20;

export interface Line {
  /** When the last packet that entered leaves: none overtakes another, as on one path. */
  leavesAt: InstantMs;
  /** Until when the bytes that entered occupy the line. */
  busyUntil: InstantMs;
  keptBytes: number;
}

export function newLine(): Line {
  return { leavesAt: Number.NEGATIVE_INFINITY, busyUntil: Number.NEGATIVE_INFINITY, keptBytes: 0 };
}

/** null: lost. `lossChance`, `jitterChance`: two draws, 0 up to and without 1. */
export function enter(
  line: Line,
  quality: LineQuality,
  packet: { readonly bytes: number; readonly now: InstantMs },
  chance: { readonly loss: number; readonly jitter: number },
): InstantMs | null {
  if (chance.loss * 100 < quality.lossPercent) return null;
  if (line.keptBytes + packet.bytes > keptMaxBytes) return null;
  const occupiesMs = quality.rateMbit > 0 ? (packet.bytes * 8) / (quality.rateMbit * 1000) : 0;
  line.busyUntil = Math.max(line.busyUntil, packet.now) + occupiesMs;
  const leavesAt = line.busyUntil + quality.delayMs + chance.jitter * quality.jitterMs;
  line.leavesAt = Math.max(line.leavesAt, leavesAt);
  line.keptBytes += packet.bytes;
  return line.leavesAt;
}

export function leave(line: Line, bytes: number): void {
  line.keptBytes -= bytes;
}
