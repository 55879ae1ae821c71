/** The routing table: who serves what and who may write, computed by the core, applied by every data plane. */
import type { Epoch, Generation, MemberName, RegionName, ServiceName, StoreName } from "./id.ts";
import type { ServiceRules } from "./rules.ts";
import type { WallMs } from "./time.ts";
import type { Address } from "./topology.ts";
import type { TrafficRules } from "./traffic.ts";

/** Kept apart on purpose: a drained region may come back by itself, a forbidden or fenced one may not. */
export type RegionState = "active" | "standby" | "draining" | "drained" | "forbidden" | "fenced";

/** `rw`: all. `ro`: safe methods only. `static`: stale or fixed content. `off`: nothing, on purpose. */
export type ServiceMode = "rw" | "ro" | "static" | "off";

export interface RoutingTable {
  readonly schema: 1;
  readonly topology: string;
  /** Highest of all data stores' epochs: with `generation` the order of tables (R1). */
  readonly epoch: Epoch;
  readonly generation: Generation;
  /** SHA-256 of the table without `digest`, hexadecimal. */
  readonly digest: string;
  /** Digest of the table before; empty for the first. */
  readonly digestBefore: string;
  readonly issuedAt: WallMs;
  /** The agent that computed it. */
  readonly issuedBy: RegionName;
  /** Why it differs from the one before, in one sentence for people. */
  readonly because: string;
  readonly regions: Readonly<Record<RegionName, RegionState>>;
  readonly stores: Readonly<Record<StoreName, StoreRoute>>;
  readonly services: Readonly<Record<ServiceName, ServiceRoute>>;
}

/** Where writes to a data store go. */
export interface StoreRoute {
  readonly epoch: Epoch;
  /** The member that may write in this epoch, or null while none has committed. */
  readonly writer: {
    readonly member: MemberName;
    readonly region: RegionName;
    readonly gate: Address;
  } | null;
  /** True during a planned change: edges hold unsafe requests that they have not sent yet. */
  readonly changing: boolean;
}

export interface ServiceRoute {
  readonly mode: ServiceMode;
  readonly dataStores: readonly StoreName[];
  /** In the order of the failover plan. Never a region outside `allow`, forbidden or fenced (R2). */
  readonly targets: readonly Target[];
  /** Hard limit (S14). */
  readonly allow: readonly RegionName[];
  readonly rules: ServiceRules;
  readonly traffic?: TrafficRules;
}

export interface Target {
  readonly region: RegionName;
  readonly url: string;
  readonly healthPath: string;
  /** 0 or more; relative. */
  readonly weight: number;
}

/** A table with the Ed25519 signature (base64) of its canonical JSON. */
export interface SignedTable {
  readonly table: RoutingTable;
  readonly keyId: string;
  readonly signature: string;
}
