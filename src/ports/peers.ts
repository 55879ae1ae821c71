/** What we ask of the other regions' agents directly, beside the store (L6). */
import type { Epoch, MemberName, RegionName, Revision, StoreName } from "../core/model/id.ts";
import type { ToldReport } from "../core/model/record.ts";

/** "I cannot reach the store. Do you see it? If not, promise not to let anyone claim `dataStore` for a lease from now." */
export interface PeerQuestion {
  readonly from: RegionName;
  readonly dataStore: StoreName;
  readonly epoch: Epoch;
  /** The lease's revision as the holder knows it. */
  readonly revision: Revision;
}

export type PeerAnswer =
  | { readonly kind: "promised" }
  | { readonly kind: "refused"; readonly because: string };

/** "My member is sealed." */
export interface SealNotice extends ToldReport {
  readonly member: MemberName;
}

export interface Peers {
  tell(region: RegionName, notice: SealNotice, signal: AbortSignal): Promise<void>;
  /** Keeps a connection to each, so that what is told takes half a round trip. Never rejects. */
  keepNear(signal: AbortSignal): Promise<void>;
  ask(region: RegionName, question: PeerQuestion, signal: AbortSignal): Promise<PeerAnswer>;
  close(): Promise<void>;
}
