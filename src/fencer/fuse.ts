/**
 * The fuse of one member: until when it may live, who may move that instant, and in which epochs it has burnt.
 *
 * - F1. It burns when it is armed and now is past the deadline; whatever arrives after that instant arrives too late,
 *       even if it was sent before (a process that was frozen finds old pets in its socket).
 * - F2. Epochs never go down.
 * - F3. Within an epoch the deadline never goes back.
 * - F4. Burnt in epoch E: no pet of E or below is taken, ever again. An agent that was frozen while its member was ended
 *       would otherwise wake up and renew a lease with nobody behind it, for ever.
 * - F5. While a burnt member is not seen gone, nothing arms it.
 */
import type { Epoch } from "../core/model/id.ts";
import type { InstantMs, SpanMs } from "../core/model/time.ts";

export interface Fuse {
  readonly kind: "disarmed" | "armed" | "burnt";
  /** The highest that it was ever armed for (F2). */
  readonly epoch: Epoch;
  readonly deadline: InstantMs;
  /** The highest that it ever burnt in (F4); 0: none. */
  readonly burntEpoch: Epoch;
  /** Burnt: whether the member was seen gone (F5). */
  readonly confirmed: boolean;
  /** The deadline was assumed at start, since what was written down could not be read: the first good pet sets it. */
  readonly assumed: boolean;
}

export const newFuse: Fuse = {
  kind: "disarmed",
  epoch: 0,
  deadline: Number.NEGATIVE_INFINITY,
  burntEpoch: 0,
  confirmed: false,
  assumed: false,
};

export type FuseOutcome =
  | { readonly kind: "taken"; readonly fuse: Fuse }
  | { readonly kind: "refused"; readonly because: string };

/** F1. Strict: at the deadline itself the member still may live. */
export function isExpired(fuse: Fuse, now: InstantMs): boolean {
  return fuse.kind === "armed" && fuse.deadline < now;
}

/** The caller has let it burn first if it was expired. `aheadMaxMs`: no lease is longer than this. */
export function pet(
  fuse: Fuse,
  request: { readonly epoch: Epoch; readonly deadline: InstantMs },
  now: InstantMs,
  aheadMaxMs: SpanMs,
): FuseOutcome {
  const { epoch, deadline } = request;
  if (isExpired(fuse, now)) return refuse(`the deadline of epoch ${fuse.epoch} has passed`);
  if (epoch < 1) return refuse("epochs begin at 1");
  if (epoch <= fuse.burntEpoch) return refuse(`it has fired in epoch ${fuse.burntEpoch}`);
  if (epoch < fuse.epoch) return refuse(`epoch ${fuse.epoch} was seen`);
  if (fuse.kind === "burnt" && !fuse.confirmed) return refuse("the member is being ended");
  if (deadline <= now) return refuse(`the pet came ${(now - deadline).toFixed(1)} ms after its own deadline`);
  // A deadline on another clock (wall time, another host's) would switch the guard off for years.
  if (now + aheadMaxMs < deadline) {
    return refuse(
      `a deadline ${Math.round(deadline - now)} ms ahead is not one of this host's monotonic clock`,
    );
  }
  const renews = fuse.kind === "armed" && epoch === fuse.epoch && !fuse.assumed;
  if (renews && deadline < fuse.deadline) return refuse("an earlier deadline than the present one");
  return {
    kind: "taken",
    fuse: { ...fuse, kind: "armed", epoch, deadline, confirmed: false, assumed: false },
  };
}

export function disarm(fuse: Fuse, request: { readonly epoch: Epoch }): FuseOutcome {
  if (fuse.kind === "burnt" && !fuse.confirmed) return refuse("the member is being ended");
  if (request.epoch < fuse.epoch) return refuse(`epoch ${fuse.epoch} was seen`);
  return { kind: "taken", fuse: { ...fuse, kind: "disarmed", confirmed: false, assumed: false } };
}

/** From here on nobody can renew this epoch (F4). */
export function burn(fuse: Fuse): Fuse {
  return {
    ...fuse,
    kind: "burnt",
    burntEpoch: Math.max(fuse.burntEpoch, fuse.epoch),
    confirmed: false,
    assumed: false,
  };
}

export function confirmGone(fuse: Fuse): Fuse {
  return { ...fuse, confirmed: true };
}

function refuse(because: string): FuseOutcome {
  return { kind: "refused", because };
}
