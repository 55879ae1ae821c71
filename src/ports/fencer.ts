/** What we ask of the fencer beside a member: to end it unless it is petted in time. */
import type { Epoch } from "../core/model/id.ts";
import type { InstantMs, SpanMs } from "../core/model/time.ts";

export interface FencerState {
  readonly armed: boolean;
  readonly epoch: Epoch;
  readonly deadline: InstantMs;
  /** The highest epoch that it ended the member in: it takes no pet for that or a lower one again; 0: none. */
  readonly burntEpoch: Epoch;
  /** Times it has ended the member since it started, and why the last time. */
  readonly fired: number;
  readonly lastFiring: string;
}

export interface Fencer {
  /** Arms it, or moves the deadline later. A lower epoch or an earlier deadline does nothing (answer: false). */
  pet(request: { readonly epoch: Epoch; readonly deadline: InstantMs }): Promise<boolean>;
  /** The member is ended in order and holds no lease: nothing to guard. Refused for an epoch below the armed one. */
  disarm(request: { readonly epoch: Epoch }): Promise<boolean>;
  state(timeoutMs: SpanMs): Promise<FencerState>;
  close(): Promise<void>;
}
