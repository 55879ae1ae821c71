/** What a member must never forget, on its own disk beside the data folder: whose it is, its floor, its seal. */
import { randomUUID } from "node:crypto";
import { mkdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Epoch, Incarnation, MemberName, StoreName } from "../../core/model/id.ts";
import type { Lsn } from "../../core/model/lsn.ts";
import type { Damage } from "../../core/model/record.ts";
import type { Account } from "./account.ts";
import { DatabaseError } from "./database-error.ts";
import { makePrivateFolder, writeDurable } from "./durable-file.ts";

export interface Quorum {
  readonly epoch: Epoch;
  readonly acknowledgements: number;
  readonly standbys: readonly MemberName[];
}

/** Of one copy: void when the incarnation is another. */
export interface DamageMark extends Damage {
  readonly incarnation: Incarnation;
}

export interface MemberMemory {
  readonly schema: 1;
  readonly topology: string;
  readonly store: StoreName;
  readonly member: MemberName;
  readonly incarnation: Incarnation | null;
  /** Only rises. */
  readonly floor: Epoch;
  /** The last that was seen in epoch `floor`. Absent: the first. */
  readonly publication?: number;
  readonly role: "standby" | "primary";
  /** Epoch that it leads or follows; 0: none. */
  readonly epoch: Epoch;
  readonly sealedBasis: number;
  readonly sealedPosition: Lsn;
  /** What commits are to wait for when nothing is frozen. */
  readonly quorum: Quorum;
  /** An act on the data folder that was begun and not completed: its data are not to be trusted. */
  readonly unfinished: "" | "initialize" | "seed" | "rewind";
  /** Absent: none was ever noticed, or an older version wrote this. */
  readonly damage?: DamageMark;
}

type MemberChange = Partial<Omit<MemberMemory, "schema" | "topology" | "store" | "member">>;

/** Ties a data folder to its member and to its life; a base backup never brings one along. */
export const markerFile = "holdfast.member.json";

export class MemberFile {
  readonly stateDir: string;
  #memory: MemberMemory;
  readonly #dataDir: string;
  readonly #account: Account;
  #lastUpdate: Promise<void> = Promise.resolve();

  private constructor(stateDir: string, dataDir: string, memory: MemberMemory, account: Account) {
    this.stateDir = stateDir;
    this.#dataDir = dataDir;
    this.#memory = memory;
    this.#account = account;
  }

  /** Refuses (HOLDFAST_PG_FOREIGN_DATA) a folder that belongs to another topology, data store or member. */
  static async open(request: {
    readonly dataDir: string;
    readonly topology: string;
    readonly store: StoreName;
    readonly member: MemberName;
    readonly account: Account;
  }): Promise<MemberFile> {
    const { dataDir, topology, store, member, account } = request;
    const stateDir = join(dirname(dataDir), `${basename(dataDir)}.holdfast`);
    await mkdir(dirname(dataDir), { recursive: true, mode: 0o755 });
    await makePrivateFolder(stateDir, account);
    const owner = { topology, store, member };
    const known = await readJson<MemberMemory>(join(stateDir, "member.json"));
    const marker = await readJson<Marker>(join(dataDir, markerFile));
    for (const found of [known, marker]) if (found !== null) refuseForeign(found, owner, dataDir);
    const memory: MemberMemory = known ?? {
      schema: 1,
      ...owner,
      incarnation: null,
      floor: 0,
      role: "standby",
      epoch: 0,
      sealedBasis: 0,
      sealedPosition: 0,
      quorum: { epoch: 0, acknowledgements: 0, standbys: [] },
      unfinished: "",
    };
    const file = new MemberFile(stateDir, dataDir, memory, account);
    if ((await file.hasData()) && memory.unfinished === "" && marker?.incarnation !== memory.incarnation)
      throw new DatabaseError(
        "HOLDFAST_PG_FOREIGN_DATA",
        `the data folder ${dataDir} of ${member} was not made by this member (${marker === null ? `it has no ${markerFile}` : `incarnation ${marker.incarnation}`}, expected ${memory.incarnation ?? "no data"}); move it away, or the state folder ${stateDir} with it`,
      );
    if (known === null) await file.update({});
    return file;
  }

  get memory(): MemberMemory {
    return this.#memory;
  }

  /** Resolves when it is on disk for good. One after the other: each change builds on what the one before has left. */
  update(change: MemberChange): Promise<void> {
    return this.#inTurn(() => this.#update(change));
  }

  /** Which publication of `epoch` was seen: of a floor that is another by then it says nothing. */
  remember(epoch: Epoch, publication: number): Promise<void> {
    return this.#inTurn(async () => {
      const { floor, publication: known = 0 } = this.#memory;
      if (floor === epoch && known < publication) await this.#update({ publication });
    });
  }

  #inTurn(act: () => Promise<void>): Promise<void> {
    const done = this.#lastUpdate.catch(() => undefined).then(act);
    this.#lastUpdate = done;
    return done;
  }

  async #update(change: MemberChange): Promise<void> {
    if (change.floor !== undefined && change.floor < this.#memory.floor)
      throw new DatabaseError(
        "HOLDFAST_PG_EPOCH",
        `the floor of ${this.#memory.member} is ${this.#memory.floor} and never goes down to ${change.floor}`,
      );
    const isHigher = change.floor !== undefined && change.floor > this.#memory.floor;
    const next = { ...this.#memory, ...(isHigher && { publication: 0 }), ...change };
    await writeDurable(
      join(this.stateDir, "member.json"),
      `${JSON.stringify(next, null, 2)}\n`,
      this.#account,
    );
    this.#memory = next;
  }

  /** Writes the marker of `incarnation` into a data folder, which may be one in the making. */
  async mark(folder: string, incarnation: Incarnation): Promise<void> {
    const { topology, store, member } = this.#memory;
    const marker: Marker = { schema: 1, topology, store, member, incarnation };
    await writeDurable(join(folder, markerFile), `${JSON.stringify(marker)}\n`, this.#account);
  }

  /** Whether there is a data folder with anything in it that could be started. */
  async hasData(): Promise<boolean> {
    return exists(join(this.#dataDir, "PG_VERSION"));
  }
}

interface Marker {
  readonly schema: 1;
  readonly topology: string;
  readonly store: StoreName;
  readonly member: MemberName;
  readonly incarnation: Incarnation;
}

export function newIncarnation(): Incarnation {
  return randomUUID();
}

export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

type Owner = Pick<MemberMemory, "topology" | "store" | "member">;

function refuseForeign(found: Owner, wanted: Owner, dataDir: string): void {
  for (const what of ["topology", "store", "member"] as const)
    if (found[what] !== wanted[what])
      throw new DatabaseError(
        "HOLDFAST_PG_FOREIGN_DATA",
        `the data folder ${dataDir} belongs to ${what} ${found[what]}, not to ${wanted[what]}; give ${wanted.member} a folder of its own`,
      );
}

async function readJson<T>(path: string): Promise<T | null> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new DatabaseError(
      "HOLDFAST_PG_FOREIGN_DATA",
      `${path} is damaged (${text.length} bytes, not JSON); restore it, or remove it with the data folder and seed the member anew`,
      { cause },
    );
  }
}
