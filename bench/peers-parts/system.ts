/** What is compared: something that keeps three copies of PostgreSQL in three regions, and clients' ways to its writer. */
import type { Network } from "../../src/lab/net/network.ts";
import type { LabProcess } from "../../src/lab/process.ts";

export interface System {
  readonly name: string;
  /** Its settings, in one line. */
  readonly settings: string;
  readonly family: "holdfast" | "patroni" | "pg_auto_failover";
  readonly replication: "synchronous" | "asynchronous";
  /** Acknowledged writes of so long a time may be lost; null: it promises nothing. */
  readonly rpoMs: number | null;
  /** How long a failover may take before we no longer wait for it. */
  readonly patienceMs: number;
  /** Resolves when every copy streams and clients reach the writer; rejects, with everything removed, when that does not come. */
  start(surroundings: Surroundings): Promise<RunningSystem>;
}

export interface Surroundings {
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

export interface RunningSystem {
  readonly network: Network;
  /** For files of whoever measures; goes with the system. */
  readonly folder: string;
  readonly regions: readonly SystemRegion[];
  /** Processes of the region that are started again when it returns; PostgreSQL is a child of one of them. */
  processes(region: string): readonly LabProcess[];
  /** Whoever decides about the region's PostgreSQL, PostgreSQL itself left out. */
  managers(region: string): readonly number[];
  /** Asks for a planned change to another region; resolves when it was taken up or done. */
  switchOver(from: string, signal: AbortSignal): Promise<void>;
  /** Copies what its processes wrote of themselves into `to`, which is made. */
  keepLogs(to: string): void;
  /** Resolves when the region is on its way back. */
  returnRegion(region: string): Promise<void>;
  close(): Promise<void>;
}

export interface SystemRegion {
  readonly name: string;
  readonly member: string;
  readonly dataDir: string;
  /** As an application is told: the edge or the proxy of the region, which leads to the writer wherever it is. */
  readonly writerUrl: string;
  /** Straight to the member, past every edge and proxy. */
  readonly directUrl: string;
  /** The HTTP service, through the edge or the proxy of the region. */
  readonly httpUrl: string;
}
