/** How a register, a list and a bank behave when nobody else is there: what the search compares with. */
import type { Model } from "./linearize.ts";
import { type BankRules, type Operation, toldOf } from "./operation.ts";

const everything = () => true;
const nothing = () => false;

/** Its value; null: never written. */
export const registerModel: Model<number | null> = {
  initial: null,
  nameOf: (value) => String(value),
  step(value, operation) {
    const { ask } = operation;
    const told = toldOf(operation);
    switch (ask.kind) {
      case "read":
        return told === null || told.value === value ? value : undefined;
      case "write":
        return ask.value;
      case "swap": {
        const fits = value === ask.from;
        if (told !== null && told.done !== fits) return undefined;
        return fits ? ask.to : value;
      }
      default:
        return undefined;
    }
  },
  asksFor(value, candidates, unknown) {
    const wanted = new Set<number>();
    for (const { ask, outcome } of candidates) {
      const told = outcome.kind === "ok" ? outcome.told : {};
      if (ask.kind === "read" && told.value != null && told.value !== value) wanted.add(told.value);
      if (ask.kind !== "swap") continue;
      if (told.done && ask.from !== value) wanted.add(ask.from);
      // It was refused, so anything but what it asked for may have been there.
      if (!told.done && ask.from === value) return everything;
    }
    if (wanted.size === 0) return nothing;
    // What writes the value asked for may be a swap, which asks for another in its turn.
    const swaps = unknown.flatMap(({ ask }) => (ask.kind === "swap" ? [ask] : []));
    for (let before = -1; before < wanted.size; ) {
      before = wanted.size;
      for (const { from, to } of swaps) if (wanted.has(to)) wanted.add(from);
    }
    return ({ ask }) =>
      ask.kind === "swap" ? wanted.has(ask.to) : ask.kind === "write" && wanted.has(ask.value);
  },
};

/**
 * A list whose final order is known, since somebody has read it: the state is how many of it are there. An element that is
 * not in it cannot be appended: whoever calls has seen to it that it need not be.
 */
export function listModel(order: readonly number[]): Model<number> {
  const places = new Map(order.map((value, place) => [value, place]));
  return {
    initial: 0,
    nameOf: (length) => length,
    step(length, operation) {
      const { ask } = operation;
      const told = toldOf(operation);
      switch (ask.kind) {
        case "list":
          return told === null || told.values?.length === length ? length : undefined;
        case "append":
          return places.get(ask.value) === length ? length + 1 : undefined;
        default:
          return undefined;
      }
    },
    // There is only one element that can be next.
    asksFor: () => everything,
  };
}

/**
 * The same, trying everything everywhere. Where overdrafts are forbidden, `bankModel` leaves out one case: two transfers of
 * unknown outcome, of which one pays for the other, before one that would have been covered without them.
 */
export function slowBankModel(rules: BankRules): Model<readonly number[]> {
  return { ...bankModel(rules), asksFor: () => everything };
}

/** Balances by account. A transfer writes all that it reads, so that snapshot isolation permits no write skew here. */
export function bankModel(rules: BankRules): Model<readonly number[]> {
  const model: Model<readonly number[]> = {
    initial: rules.opening,
    nameOf: (balances) => balances.join(),
    step(balances, operation) {
      const { ask } = operation;
      const told = toldOf(operation);
      switch (ask.kind) {
        case "balances":
          return told === null || isSame(told.balances, balances) ? balances : undefined;
        case "transfer": {
          const held = balances[ask.from];
          const covered = held !== undefined && (rules.mayOverdraw || ask.amount <= held);
          if (told !== null && told.done !== covered) return undefined;
          return covered ? moved(balances, operation) : balances;
        }
        default:
          return undefined;
      }
    },
    asksFor(balances, candidates) {
      // Covered transfers can change places with others; a look cannot, nor one that was refused.
      return candidates.some((one) => model.step(balances, one) === undefined) ? everything : nothing;
    },
  };
  return model;
}

function moved(balances: readonly number[], { ask }: Operation): readonly number[] {
  if (ask.kind !== "transfer" || ask.from === ask.to || ask.amount === 0) return balances;
  return balances.map((balance, account) => {
    if (account === ask.from) return balance - ask.amount;
    return account === ask.to ? balance + ask.amount : balance;
  });
}

function isSame(one: readonly number[] | undefined, other: readonly number[]): boolean {
  return one?.length === other.length && other.every((balance, account) => balance === one[account]);
}
