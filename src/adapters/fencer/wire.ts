/** What client and fencer say to each other: one JSON object a line over a unix socket, answers matched by `id`. */

export type FencerQuestion =
  | { readonly id: number; readonly ask: "pet"; readonly epoch: number; readonly deadline: number }
  | { readonly id: number; readonly ask: "disarm"; readonly epoch: number }
  | { readonly id: number; readonly ask: "state" };

export interface FencerReply {
  readonly id: number;
  /** Of a pet or a disarm: whether it took effect. */
  readonly done: boolean;
  /** Why not, for people; empty when it did. */
  readonly because: string;
  /** How it stands after the call. */
  readonly state: {
    readonly armed: boolean;
    readonly epoch: number;
    /** null: never (JSON has no infinity). */
    readonly deadline: number | null;
    readonly burntEpoch: number;
    readonly fired: number;
    readonly lastFiring: string;
  };
}

/** Longer lines are not ours: the connection is closed. A pet is some 80 bytes. */
export const lineBytesMax = 4096;

/** null: not a question; the fencer says so and closes the connection. */
export function parseQuestion(line: string): FencerQuestion | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  const { id, ask, epoch, deadline } = value as Record<string, unknown>;
  if (!isCount(id)) return null;
  if (ask === "state") return { id, ask };
  if (!isCount(epoch)) return null;
  if (ask === "disarm") return { id, ask, epoch };
  if (ask !== "pet" || typeof deadline !== "number" || !Number.isFinite(deadline)) return null;
  return { id, ask, epoch, deadline };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
