/** Histories of objects that are what they should be: made by carrying out each operation at one instant between its ends. */
import type { Model } from "../../../src/lab/history/linearize.ts";
import { bankModel, registerModel } from "../../../src/lab/history/models.ts";
import type { Ask, BankRules, Operation, Outcome, Told } from "../../../src/lab/history/operation.ts";

/** What a client does next, and how long it takes. */
export interface Wish {
  readonly client: number;
  readonly ask: Ask;
  /** From its last answer. */
  readonly waitsMs: number;
  readonly takesMs: number;
  /** Where in between it takes effect, 0 to 1. */
  readonly at: number;
  /** `late`, `never`: no answer, and its effect comes so long after that, or not at all. */
  readonly fate: "ok" | "failed" | "never" | { readonly lateMs: number };
}

export const rules: BankRules = { opening: [50, 50, 50], mayOverdraw: false };

/** One object of each kind, one after the other, as the wishes want them. */
export function simulate(wishes: readonly Wish[]): readonly Operation[] {
  const freeAt = new Map<number, number>();
  const planned = wishes.map(({ client, ask, waitsMs, takesMs, at, fate }, number) => {
    const sentAt = (freeAt.get(client) ?? 0) + waitsMs;
    const doneAt = sentAt + takesMs;
    freeAt.set(client, doneAt);
    const lateMs = typeof fate === "object" ? fate.lateMs : 0;
    return { number, client, ask, sentAt, doneAt, fate, effectAt: sentAt + at * takesMs + lateMs };
  });
  const objects = new Map<string, (operation: Operation) => Told>();
  const done = planned
    .toSorted((a, b) => a.effectAt - b.effectAt || a.number - b.number)
    .map(({ number, client, ask, sentAt, doneAt, fate }): Operation => {
      const plan = { number, client, ask, sentAt, doneAt };
      if (fate === "failed") return { ...plan, outcome: { kind: "failed", because: "refused" } };
      const outcome: Outcome = { kind: "unknown", because: "timeout" };
      if (fate === "never") return { ...plan, outcome };
      const carryOut = objects.get(plan.ask.key) ?? newObject(plan.ask);
      objects.set(plan.ask.key, carryOut);
      const told = carryOut({ ...plan, outcome });
      return { ...plan, outcome: fate === "ok" ? { kind: "ok", told, by: null } : outcome };
    });
  return done.sort((a, b) => a.sentAt - b.sentAt || a.number - b.number);
}

function newObject({ kind }: Ask): (operation: Operation) => Told {
  if (kind === "append" || kind === "list") return newList();
  if (kind === "transfer" || kind === "balances")
    return newOf(bankModel(rules), (balances) => ({ balances }));
  return newOf(registerModel, (value) => ({ value }));
}

function newOf<State>(model: Model<State>, look: (state: State) => Told): (operation: Operation) => Told {
  let state = model.initial;
  return (operation) => {
    const after = model.step(state, operation) as State;
    const hasChanged = after !== state;
    state = after;
    switch (operation.ask.kind) {
      case "read":
      case "balances":
        return look(state);
      case "swap":
      case "transfer":
        return { done: hasChanged };
      default:
        return {};
    }
  };
}

function newList(): (operation: Operation) => Told {
  const values: number[] = [];
  return ({ ask }) => {
    if (ask.kind === "list") return { values: [...values] };
    if (ask.kind === "append") values.push(ask.value);
    return {};
  };
}
