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
import { setImmediate as nextTurn } from "node:timers/promises";
import { invariant } from "../core/model/invariant.ts";
import type { RoutingTable, SignedTable } from "../core/model/routing.ts";
import { acceptDigested, compareTables } from "../core/traffic/accept.ts";
import { KeptTables, readIfThere, type StagedFile, writeWhole } from "./kept-tables.ts";
import type { Metrics } from "./metrics.ts";
import { type PublicKeys, sha256, verifyTable } from "./signature.ts";
import { TableReader } from "./table-reader.ts";
import { readSignedTable } from "./table-shape.ts";

export type HolderOutcome =
  | { readonly kind: "applied"; readonly generation: number }
  | { readonly kind: "unchanged"; readonly generation: number }
  | { readonly kind: "refused"; readonly because: string; readonly generation: number }
  /** It is on disk, and not everything that serves is known to go by it. */
  | { readonly kind: "unknown"; readonly because: string; readonly generation: number };

export type TableListener = (table: RoutingTable, before: RoutingTable | null) => void;

export class TableHolder {
  readonly #kept: KeptTables;
  readonly #evacuations: string;
  readonly #keys: PublicKeys;
  readonly #metrics: Metrics;
  readonly #listeners = new Set<TableListener>();
  readonly #reader = new TableReader();
  #signed: SignedTable | null = null;
  /** Resolves with what is not known to go by the newest table; empty: nothing. Asked after each offer. */
  whatLags: (() => Promise<string>) | null = null;
  /** Applications one after another: two at once could both be "greater". */
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(stateDir: string, keys: PublicKeys, metrics: Metrics) {
    this.#kept = new KeptTables(join(stateDir, "tables"));
    this.#evacuations = join(stateDir, "evacuate");
    this.#keys = keys;
    this.#metrics = metrics;
  }

  /** Serves from disk at once: the newest kept table whose signature and rules hold. */
  static async open(stateDir: string, keys: PublicKeys, metrics: Metrics): Promise<TableHolder> {
    const holder = new TableHolder(stateDir, keys, metrics);
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    for (const text of await holder.#kept.newestFirst()) {
      const read = await holder.#reader.read(text);
      if (read.kind === "misfit" || verifyTable(read.signed, keys, read.canonical) !== "") continue;
      if (acceptDigested(null, read.signed.table, sha256(read.undigested)).kind !== "take") continue;
      holder.#reader.adopt(read);
      holder.#signed = read.signed;
      break;
    }
    return holder;
  }

  get signed(): SignedTable | null {
    return this.#signed;
  }

  get table(): RoutingTable | null {
    return this.#signed?.table ?? null;
  }

  /** Called with each table that is applied, in order, after it is on disk. */
  onApplied(listener: TableListener): void {
    this.#listeners.add(listener);
  }

  async apply(text: string): Promise<HolderOutcome> {
    const outcome = await this.#inTurn(() => this.#apply(text));
    // Also of a table that changes nothing: who offers it again wants to know whether it is gone by now.
    const because = (await this.whatLags?.()) ?? "";
    return because === "" ? outcome : { kind: "unknown", because, generation: outcome.generation };
  }

  /** Puts a signed evacuation table on disk, ready for the day on which nothing else lives. */
  keepEvacuation(region: string, text: string): Promise<HolderOutcome> {
    return this.#inTurn(async () => {
      const read = await this.#reader.read(text);
      if (read.kind === "misfit") return this.#refuse("shape", read.because);
      const invalid = verifyTable(read.signed, this.#keys, read.canonical);
      if (invalid !== "") return this.#refuse("signature", invalid);
      if (read.signed.table.regions[region] !== "drained")
        return this.#refuse("evacuation", `the table does not drain ${region}`);
      await writeWhole(this.#evacuations, `${encodeURIComponent(region)}.json`, text);
      return { kind: "applied", generation: read.signed.table.generation };
    });
  }

  async evacuate(region: string): Promise<HolderOutcome> {
    const text = await readIfThere(join(this.#evacuations, `${encodeURIComponent(region)}.json`));
    if (text === null) return this.#refuse("evacuation", `no table that evacuates ${region} lies ready here`);
    return this.apply(text);
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(task);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  async #apply(text: string): Promise<HolderOutcome> {
    const shape = readSignedTable(text);
    if (shape.kind === "misfit") return this.#refuse("shape", shape.because);
    const { signed } = shape;
    // One that is not newer is never kept: whoever offers it again and again costs the disk nothing.
    if (this.table && compareTables(signed.table, this.table) <= 0) return this.#judge(signed, null);
    const staged = this.#kept.stage(text);
    try {
      return await this.#judge(signed, staged);
    } finally {
      await staged.end();
    }
  }

  /** `staged`: on its way to the disk, for a table that may be kept. */
  async #judge(shaped: SignedTable, staged: StagedFile | null): Promise<HolderOutcome> {
    const read = await this.#reader.look(shaped);
    if (read.kind === "misfit") return this.#refuse("shape", read.because);
    // In turns of their own: a thousand services take milliseconds a step, and requests go on in between.
    await nextTurn();
    const invalid = verifyTable(read.signed, this.#keys, read.canonical);
    if (invalid !== "") return this.#refuse("signature", invalid);
    await nextTurn();
    const before = this.table;
    const next = read.signed.table;
    const judged = acceptDigested(before, next, sha256(read.undigested));
    if (judged.kind === "unchanged") return { kind: "unchanged", generation: next.generation };
    if (judged.kind === "refuse") return this.#refuse(judged.reason, judged.because);
    invariant(staged !== null, "only a newer table is taken");
    try {
      await this.#kept.keep(staged, next);
    } catch (error) {
      return this.#refuse("disk", `cannot keep the table on disk: ${(error as Error).message}`);
    }
    this.#signed = read.signed;
    this.#reader.adopt(read);
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
