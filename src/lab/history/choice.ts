/** What each client asks for next: drawn from a seed, over objects that are replaced before they grow too large to judge. */

import { chanceFrom } from "../chance.ts";
import type { Ask, ObjectKind, Told } from "./operation.ts";

/** Objects of a kind at once: so few that clients meet at them. */
const atOnce: Readonly<Record<ObjectKind, number>> = { register: 3, list: 2, bank: 1 };

/**
 * Operations on one object, then another takes its place. What is lost in one failover stays open in the objects of that
 * moment only; a bank, where every transfer could explain every balance, has the least room for that.
 */
const operationsMax: Readonly<Record<ObjectKind, number>> = { register: 300, list: 200, bank: 100 };

export const accounts = 4;
export const openingBalance = 100;

export class Choice {
  readonly #run: string;
  readonly #chance: () => number;
  readonly #current = new Map<string, { key: string; operations: number }>();
  readonly #keys: Record<ObjectKind, string[]> = { register: [], list: [], bank: [] };
  /** By register: what was last seen or written there. */
  readonly #latest = new Map<string, number>();
  #values = 0;

  constructor(run: string, seed: number) {
    this.#run = run;
    this.#chance = chanceFrom(seed);
  }

  /** Every object there has been. */
  get keys(): Readonly<Record<ObjectKind, readonly string[]>> {
    return this.#keys;
  }

  next(): Ask {
    const dice = this.#chance();
    if (dice < 0.4) return this.#register(this.#object("register"));
    if (dice < 0.75) return this.#list(this.#object("list"));
    return this.#bank(this.#object("bank"));
  }

  /** 0 <= x < 1, from the same seed. */
  fraction(): number {
    return this.#chance();
  }

  /** So that swaps may find what they ask for. */
  learn(ask: Ask, told: Told): void {
    if (ask.kind === "read" && told.value != null) this.#latest.set(ask.key, told.value);
    if (ask.kind === "write") this.#latest.set(ask.key, ask.value);
    if (ask.kind === "swap" && told.done) this.#latest.set(ask.key, ask.to);
  }

  #register(key: string): Ask {
    const dice = this.#chance();
    if (dice < 0.45) return { kind: "read", key };
    const from = this.#latest.get(key);
    if (dice < 0.75 || from === undefined) return { kind: "write", key, value: ++this.#values };
    return { kind: "swap", key, from, to: ++this.#values };
  }

  #list(key: string): Ask {
    return this.#chance() < 0.35 ? { kind: "list", key } : { kind: "append", key, value: ++this.#values };
  }

  #bank(key: string): Ask {
    if (this.#chance() < 0.4) return { kind: "balances", key };
    const from = this.#below(accounts);
    const to = (from + 1 + this.#below(accounts - 1)) % accounts;
    // So large that some are refused.
    return { kind: "transfer", key, from, to, amount: 1 + this.#below(60) };
  }

  #object(kind: ObjectKind): string {
    const slot = `${kind}-${this.#below(atOnce[kind])}`;
    const current = this.#current.get(slot);
    if (current !== undefined && current.operations < operationsMax[kind]) {
      current.operations++;
      return current.key;
    }
    const key = `${this.#run}-${kind}-${this.#keys[kind].length}`;
    this.#keys[kind].push(key);
    this.#current.set(slot, { key, operations: 1 });
    return key;
  }

  #below(end: number): number {
    return Math.floor(this.#chance() * end);
  }
}
