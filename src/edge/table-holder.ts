/**
 * Holds the routing table that this edge goes by: verifies, judges, writes to disk, and only then applies (R1 to R4).
 *
 * - R3. Nothing is applied that is not on disk: else a restart could fall back below an epoch that was served.
 * - What did not change costs nothing: services whose text is that of the table before keep their object, and who follows
 *   the table goes by that.
 * - R4. Nobody is asked for permission to go on: with no control plane the last table serves for ever.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { RoutingTable, SignedTable } from "../core/model/routing.ts";
import { acceptDigested } from "../core/traffic/accept.ts";
import { KeptTables, readIfThere, type StagedFile, sweepStaged, writeWhole } from "./kept-tables.ts";
import type { Metrics } from "./metrics.ts";
import type { PublicKeys } from "./signature.ts";
import { type Reading, TableReading } from "./table-reading.ts";

export type HolderOutcome =
  | { readonly kind: "applied"; readonly generation: number }
  | { readonly kind: "unchanged"; readonly generation: number }
  | { readonly kind: "refused"; readonly because: string; readonly generation: number }
  /** It is on disk, and not everything that serves is known to go by it. */
  | { readonly kind: "unknown"; readonly because: string; readonly generation: number };

export type TableListener = (table: RoutingTable, before: RoutingTable | null) => void;

export class TableHolder {
  readonly #tables: string;
  readonly #kept: KeptTables;
  readonly #evacuations: string;
  readonly #metrics: Metrics;
  readonly #listeners = new Set<TableListener>();
  readonly #reading: TableReading;
  /** Of the table that is gone by, as it came. */
  #bytes: Uint8Array = new Uint8Array();
  #signed: SignedTable | null = null;
  /** Resolves with what is not known to go by the newest table; empty: nothing. Asked after each offer. */
  whatLags: (() => Promise<string>) | null = null;
  /** Applications one after another: two at once could both be "greater". */
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(stateDir: string, keys: PublicKeys, metrics: Metrics) {
    this.#tables = join(stateDir, "tables");
    this.#kept = new KeptTables(this.#tables);
    this.#evacuations = join(stateDir, "evacuate");
    this.#reading = new TableReading(keys);
    this.#metrics = metrics;
  }

  /** Serves from disk at once: the newest kept table whose signature and rules hold. */
  static async open(stateDir: string, keys: PublicKeys, metrics: Metrics): Promise<TableHolder> {
    const holder = new TableHolder(stateDir, keys, metrics);
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    await Promise.all([holder.#tables, holder.#evacuations].map(sweepStaged));
    for (const bytes of await holder.#kept.newestFirst()) {
      // Nobody is served yet: a thread would only have to be waited for.
      const read = await holder.#reading.readHere(bytes);
      if (read.kind === "misfit" || read.invalid !== "") continue;
      if (acceptDigested(null, read.signed.table, read.digest).kind !== "take") continue;
      holder.#take(read, bytes);
      break;
    }
    return holder;
  }

  get signed(): SignedTable | null {
    return this.#signed;
  }

  /** As it came. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  get table(): RoutingTable | null {
    return this.#signed?.table ?? null;
  }

  /** Called with each table that is applied, in order, after it is on disk. */
  onApplied(listener: TableListener): void {
    this.#listeners.add(listener);
  }

  /** `bytes`: of a signed table, JSON in UTF-8. Not to be changed any more. */
  async apply(bytes: Uint8Array): Promise<HolderOutcome> {
    const outcome = await this.#inTurn(() => this.#apply(bytes));
    // Also of a table that changes nothing: who offers it again wants to know whether it is gone by now.
    const because = (await this.whatLags?.()) ?? "";
    return because === "" ? outcome : { kind: "unknown", because, generation: outcome.generation };
  }

  /** Puts a signed evacuation table on disk, ready for the day on which nothing else lives. */
  keepEvacuation(region: string, bytes: Uint8Array): Promise<HolderOutcome> {
    return this.#inTurn(async () => {
      const read = await this.#reading.read(bytes);
      if (read.kind === "misfit") return this.#refuse("shape", read.because);
      if (read.invalid !== "") return this.#refuse("signature", read.invalid);
      if (read.signed.table.regions[region] !== "drained")
        return this.#refuse("evacuation", `the table does not drain ${region}`);
      await writeWhole(this.#evacuations, `${encodeURIComponent(region)}.json`, bytes);
      return { kind: "applied", generation: read.signed.table.generation };
    });
  }

  async evacuate(region: string): Promise<HolderOutcome> {
    const bytes = await readIfThere(join(this.#evacuations, `${encodeURIComponent(region)}.json`));
    if (bytes === null)
      return this.#refuse("evacuation", `no table that evacuates ${region} lies ready here`);
    return this.apply(bytes);
  }

  async close(): Promise<void> {
    await this.#queue;
    await this.#reading.close();
  }

  #take(read: Reading, bytes: Uint8Array): void {
    this.#signed = read.signed;
    this.#bytes = bytes;
    read.adopt();
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(task);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  async #apply(bytes: Uint8Array): Promise<HolderOutcome> {
    // Whoever offers it again and again costs nothing.
    if (this.#signed !== null && Buffer.compare(bytes, this.#bytes) === 0)
      return { kind: "unchanged", generation: this.table?.generation ?? 0 };
    const staged = this.#kept.stage(bytes);
    try {
      return await this.#judge(bytes, staged);
    } finally {
      await staged.end();
    }
  }

  /** `staged`: on its way to the disk, in case it is taken. */
  async #judge(bytes: Uint8Array, staged: StagedFile): Promise<HolderOutcome> {
    const read = await this.#reading.read(bytes);
    if (read.kind === "misfit") return this.#refuse("shape", read.because);
    if (read.invalid !== "") return this.#refuse("signature", read.invalid);
    const before = this.table;
    const next = read.signed.table;
    const judged = acceptDigested(before, next, read.digest);
    if (judged.kind === "unchanged") return { kind: "unchanged", generation: next.generation };
    if (judged.kind === "refuse") return this.#refuse(judged.reason, judged.because);
    try {
      await this.#kept.keep(staged, next);
    } catch (error) {
      return this.#refuse("disk", `cannot keep the table on disk: ${(error as Error).message}`);
    }
    this.#take(read, bytes);
    this.#metrics.count("holdfast_edge_tables_total", { outcome: "applied" });
    for (const listener of this.#listeners) listener(next, before);
    return { kind: "applied", generation: next.generation };
  }

  #refuse(reason: string, because: string): HolderOutcome {
    // An alarm and not a log line: somebody's knowledge is old, or somebody is not who they should be (R1).
    this.#metrics.count("holdfast_edge_tables_total", { outcome: "refused", reason });
    return { kind: "refused", because, generation: this.table?.generation ?? 0 };
  }
}
