/** What a running lab tells others: where everything listens, and which processes there are (`--state FILE`). */
import { renameSync, writeFileSync } from "node:fs";
import type { NetworkRecord } from "./net/network.ts";

export interface LabState {
  readonly schema: 1;
  /** Of the process that runs the lab. */
  readonly pid: number;
  readonly topologyFile: string;
  readonly profile: string;
  /** Where drills are asked for: http://127.0.0.1:PORT. */
  readonly control: string;
  /** File with the bearer token of agents and of `control`. */
  readonly tokenFile: string;
  /** Only where regions have networks of their own (`holdfast lab`). */
  readonly network?: NetworkRecord;
  /** Only where the lab is not root's: the word by which its processes are known. */
  readonly enclosure?: string;
  readonly regions: readonly {
    readonly name: string;
    readonly agent: string;
    readonly edge: string;
    readonly edgeAdmin: string;
    /** To the writer, through the region's edge: what a service uses. */
    readonly database: string;
    readonly service: string;
  }[];
  readonly members: readonly {
    readonly name: string;
    readonly region: string;
    readonly dataDir: string;
    /** Through its gate. */
    readonly gate: string;
    /** Directly, past the gate: for looking, not for clients. */
    readonly direct: string;
  }[];
  readonly processes: readonly {
    readonly name: string;
    readonly role: string;
    readonly region: string;
    readonly pid: number;
    readonly logFile: string;
  }[];
}

/** Whole or not at all: others read it while we write. Connection strings carry a password: for the owner only. */
export function writeState(file: string, state: LabState): void {
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(temporary, file);
}
