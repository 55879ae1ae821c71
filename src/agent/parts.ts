/** What an agent is given: the world, as ports. Whoever starts it chooses who answers. */
import type { MemberName } from "../core/model/id.ts";
import type { RoutingTable, SignedTable } from "../core/model/routing.ts";
import type { Clock } from "../ports/clock.ts";
import type { Database } from "../ports/database.ts";
import type { Fencer } from "../ports/fencer.ts";
import type { Journal } from "../ports/journal.ts";
import type { Peers } from "../ports/peers.ts";
import type { Prober } from "../ports/prober.ts";
import type { Gate } from "../ports/router.ts";
import type { Store } from "../ports/store.ts";
import type { Log } from "./log.ts";
import type { Planes } from "./planes.ts";

export interface AgentParts {
  readonly clock: Clock;
  readonly store: Store;
  /** The members in this region. */
  readonly members: ReadonlyMap<MemberName, MemberParts>;
  /** The data planes of this region: all of them take each table. */
  readonly planes: Planes;
  readonly peers: Peers;
  readonly prober: Prober;
  readonly journal: Journal;
  readonly digest: (text: string) => string;
  readonly sign: (table: RoutingTable) => SignedTable;
  readonly log: Log;
}

export interface MemberParts {
  readonly database: Database;
  readonly fencer: Fencer;
  /** Null where no client enters through a gate of ours. */
  readonly gate: Gate | null;
}
