/** How a register, a list and a bank behave when nobody else is there: what the search compares with. */
import type { Model } from "./linearize.ts";
import { type BankRules, type Operation, toldOf } from "./operation.ts";

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
  };
}

/** Balances by account. A transfer writes all that it reads, so that snapshot isolation permits no write skew here. */
export function bankModel(rules: BankRules): Model<readonly number[]> {
  return {
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
  };
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
