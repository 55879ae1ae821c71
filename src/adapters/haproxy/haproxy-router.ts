/**
 * The port `router` answered by HAProxy, through its runtime socket: about a millisecond, no reload, no reset.
 *
 * - R1, R2. HAProxy cannot judge a table: this adapter does, for every client of the same folder one after another.
 * - R3. The table is on disk before HAProxy hears of it; the map and the states of servers after, for HAProxy's restart.
 * - H1. What is to serve is let in before what is not to serve is taken out: never empty in between.
 * - H2. What HAProxy says afterwards is compared with what was wanted; a difference is mended, or told as `unknown`.
 *
 * What it cannot do of what a table asks for stands in `abilities.ts`.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Abilities, PlaneSight } from "../../core/model/plane.ts";
import type { SignedTable } from "../../core/model/routing.ts";
import type { ApplyOutcome, Router } from "../../ports/router.ts";
import { haproxyAbilities } from "./abilities.ts";
import { writeWhole } from "./files.ts";
import { type HaproxyLayout, mapPathOf, type Slot, socketPathOf, statePathOf } from "./layout.ts";
import { withLock } from "./lock.ts";
import { commandMaxBytes, HaproxyError, RuntimeSocket } from "./runtime-socket.ts";
import { type OrderTargets, type SlotState, type Wanted, wantedBy } from "./wanted.ts";

/** The core's rules, handed in: adapters import the model only. */
export interface TableRules {
  /** Empty: the signature fits. */
  readonly verify: (signed: SignedTable) => string;
  readonly accept: (
    current: SignedTable["table"] | null,
    next: SignedTable["table"],
  ) => { readonly kind: "take" | "unchanged" } | { readonly kind: "refuse"; readonly because: string };
  readonly order: OrderTargets;
}

const tableName = "table.json";

export class HaproxyRouter implements Router {
  readonly abilities: Abilities = haproxyAbilities;
  readonly #layout: HaproxyLayout;
  readonly #rules: TableRules;
  readonly #socket: RuntimeSocket;
  #turn: Promise<unknown> = Promise.resolve();
  /** What was read last: a table of a thousand services takes 30 ms to verify. */
  #lastRead: { readonly text: string; readonly signed: SignedTable } | null = null;

  constructor(layout: HaproxyLayout, rules: TableRules) {
    this.#layout = layout;
    this.#rules = rules;
    this.#socket = new RuntimeSocket(socketPathOf(layout));
  }

  async apply(signed: SignedTable, signal: AbortSignal): Promise<ApplyOutcome> {
    try {
      return await this.#inTurn(signal, () => this.#apply(signed, signal));
    } catch (error) {
      return { kind: "unknown", because: (error as Error).message };
    }
  }

  /** The table that was kept last. Mends HAProxy if it goes by another. */
  async current(signal: AbortSignal): Promise<SignedTable | null> {
    return this.#inTurn(signal, async () => {
      const kept = await this.#kept();
      if (kept) await this.#enact(kept, signal);
      return kept;
    });
  }

  /** H2, without mending. */
  async look(signal: AbortSignal): Promise<PlaneSight> {
    const kept = await this.#kept();
    // Also with no table kept: whether it answers is the first thing that is asked.
    if (!kept) await this.#socket.ask("show info", signal);
    if (!kept) return { table: null, drift: [] };
    const { epoch, generation, digest } = kept.table;
    const wanted = wantedBy(this.#layout, kept.table, this.#rules.order);
    const drift = typeof wanted === "string" ? [wanted] : await this.#differences(wanted, signal);
    return { table: { epoch, generation, digest }, drift };
  }

  async close(): Promise<void> {
    // Each command has a connection of its own: there is nothing to close.
  }

  /** First in line here, then across processes: those who wait for the lock look at a file over and over. */
  #inTurn<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => {
      signal.throwIfAborted();
      return withLock(this.#layout.folder, signal, task);
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #apply(signed: SignedTable, signal: AbortSignal): Promise<ApplyOutcome> {
    const kept = await this.#kept();
    const generation = kept?.table.generation ?? 0;
    const refuse = (because: string): ApplyOutcome => ({ kind: "refused", because, generation });
    const invalid = this.#rules.verify(signed);
    if (invalid !== "") return refuse(invalid);
    const judged = this.#rules.accept(kept?.table ?? null, signed.table);
    if (judged.kind === "refuse") return refuse(judged.because);
    if (judged.kind === "take") {
      const wanted = wantedBy(this.#layout, signed.table, this.#rules.order);
      if (typeof wanted === "string") return refuse(wanted);
      await writeWhole(join(this.#layout.folder, tableName), JSON.stringify(signed));
    }
    await this.#enact(signed, signal);
    const kind = judged.kind === "take" ? "applied" : "unchanged";
    return { kind, generation: signed.table.generation };
  }

  async #kept(): Promise<SignedTable | null> {
    let text: string;
    try {
      text = await readFile(join(this.#layout.folder, tableName), "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
    if (this.#lastRead?.text === text) return this.#lastRead.signed;
    const signed = JSON.parse(text) as SignedTable;
    const invalid = this.#rules.verify(signed);
    if (invalid !== "")
      throw new HaproxyError("HOLDFAST_HAPROXY_REPLY", `the kept table is not ours: ${invalid}`);
    this.#lastRead = { text, signed };
    return signed;
  }

  async #enact({ table }: SignedTable, signal: AbortSignal): Promise<void> {
    const wanted = wantedBy(this.#layout, table, this.#rules.order);
    if (typeof wanted === "string") throw new HaproxyError("HOLDFAST_HAPROXY_REPLY", wanted);
    if ((await this.#differences(wanted, signal)).length === 0) return;
    const found = readStates(await this.#socket.ask("show servers state", signal));
    const changed = [...wanted.slots].filter(([slot, state]) => !isAsWanted(found.get(nameOf(slot)), state));
    // H1.
    const letIn = changed.flatMap(([slot, state]) =>
      state.kind === "ready"
        ? [`set server ${nameOf(slot)} weight ${state.weight}`, `set server ${nameOf(slot)} state ready`]
        : [],
    );
    await this.#socket.orderAll(letIn, signal);
    await this.#replaceMap(wanted.entries, signal);
    const takeOut = changed.flatMap(([slot, state]) => {
      if (state.kind !== "maint") return [];
      const out = `set server ${nameOf(slot)} state maint`;
      return state.cut ? [out, `shutdown sessions server ${nameOf(slot)}`] : [out];
    });
    await this.#socket.orderAll(takeOut, signal);
    const left = await this.#differences(wanted, signal);
    if (left.length > 0)
      throw new HaproxyError(
        "HOLDFAST_HAPROXY_REPLY",
        `HAProxy does not go by the table: ${left.join("; ")}`,
      );
    await writeWhole(mapPathOf(this.#layout), mapText(wanted.entries));
    await writeWhole(statePathOf(this.#layout), await this.#socket.ask("show servers state", signal));
  }

  /** In one step for HAProxy: a new version is filled in pieces, counted, and only then committed. */
  async #replaceMap(entries: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void> {
    const map = mapPathOf(this.#layout);
    const prepared = await this.#socket.ask(`prepare map ${map}`, signal);
    const version = /New version created: (\d+)/.exec(prepared)?.[1];
    if (version === undefined)
      throw new HaproxyError("HOLDFAST_HAPROXY_REPLY", `HAProxy does not prepare ${map}: ${prepared.trim()}`);
    for (const piece of piecesOf(entries))
      await this.#socket.order(`add map @${version} ${map} <<\n${piece}`, signal);
    const counted = (await this.#socket.ask(`show map @${version} ${map}`, signal)).trim().split("\n").length;
    if (counted !== entries.size)
      throw new HaproxyError("HOLDFAST_HAPROXY_REPLY", `the map has ${counted} entries of ${entries.size}`);
    await this.#socket.order(`commit map @${version} ${map}`, signal);
  }

  /** H2. */
  async #differences(wanted: Wanted, signal: AbortSignal): Promise<readonly string[]> {
    const map = await this.#socket.ask(`show map ${mapPathOf(this.#layout)}`, signal);
    const entries = new Map(
      map
        .split("\n")
        .filter((line) => line.trim() !== "")
        .map((line) => line.trim().split(" ").slice(1) as [string, string]),
    );
    const servers = readStates(await this.#socket.ask("show servers state", signal));
    const inMap = [...wanted.entries]
      .filter(([key, value]) => entries.get(key) !== value)
      .map(([key, value]) => `${key} is ${entries.get(key) ?? "missing"}, not ${value}`);
    const inSlots = [...wanted.slots]
      .filter(([slot, state]) => !isAsWanted(servers.get(nameOf(slot)), state))
      .map(([slot, state]) => `${nameOf(slot)} is not ${state.kind}`);
    return [...inMap, ...inSlots];
  }
}

export function mapText(entries: ReadonlyMap<string, string>): string {
  return [...entries].map(([key, value]) => `${key} ${value}\n`).join("");
}

function piecesOf(entries: ReadonlyMap<string, string>): readonly string[] {
  const pieces: string[] = [];
  let piece = "";
  for (const [key, value] of entries) {
    const line = `${key} ${value}\n`;
    // 200 bytes for the command before the payload.
    if (commandMaxBytes - 200 < piece.length + line.length) {
      pieces.push(piece);
      piece = "";
    }
    piece += line;
  }
  return piece === "" ? pieces : [...pieces, piece];
}

interface FoundState {
  readonly inMaintenance: boolean;
  readonly weight: number;
}

function nameOf({ backend, server }: Slot): string {
  return `${backend}/${server}`;
}

function isAsWanted(found: FoundState | undefined, wanted: SlotState): boolean {
  if (!found) return false;
  return wanted.kind === "maint"
    ? found.inMaintenance
    : !found.inMaintenance && found.weight === wanted.weight;
}

/** `show servers state`, version 1: srv_name is the 4th, srv_admin_state the 7th, srv_uweight the 8th (management.txt). */
function readStates(text: string): ReadonlyMap<string, FoundState> {
  const states = new Map<string, FoundState>();
  for (const line of text.split("\n")) {
    const fields = line.trim().split(" ");
    if (fields.length < 8 || line.startsWith("#")) continue;
    // Forced 0x01, inherited 0x02, by resolution 0x20 and 0x40. "From the configuration" 0x04 only tells how it began.
    const inMaintenance = (Number(fields[6]) & 0x63) !== 0;
    states.set(`${fields[1]}/${fields[3]}`, { inMaintenance, weight: Number(fields[7]) });
  }
  return states;
}
