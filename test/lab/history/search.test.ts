/** The search against truth: histories that are right by construction, the same made wrong, and every order tried one by one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkBank, searchBank } from "../../../src/lab/history/banks.ts";
import { linearize, type Model } from "../../../src/lab/history/linearize.ts";
import { checkList } from "../../../src/lab/history/lists.ts";
import { bankModel, registerModel } from "../../../src/lab/history/models.ts";
import { type Ask, dueBy, mayWrite, type Operation, toldOf } from "../../../src/lab/history/operation.ts";
import { checkRegister, searchRegister } from "../../../src/lab/history/registers.ts";
import { shrink } from "../../../src/lab/history/witness.ts";
import { rules, simulate, type Wish } from "./simulated.ts";

const stepsMax = 500_000;
const key = "k";

const registerAsk = fc.oneof(
  fc.constant<Ask>({ kind: "read", key }),
  fc.nat(3).map((value): Ask => ({ kind: "write", key, value })),
  fc
    .tuple(fc.nat(3), fc.nat(3))
    .map(([from, to]): Ask => ({ kind: "swap", key, from, to: to === from ? 9 : to })),
);
const listAsk = fc.oneof(
  fc.constant<Ask>({ kind: "list", key }),
  fc.constant<Ask>({ kind: "append", key, value: 0 }),
);
const bankAsk = fc.oneof(
  fc.constant<Ask>({ kind: "balances", key }),
  fc
    .tuple(fc.nat(2), fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 40 }))
    .map(
      ([from, further, amount]): Ask => ({ kind: "transfer", key, from, to: (from + further) % 3, amount }),
    ),
);

function wishesOf(ask: fc.Arbitrary<Ask>, most: number): fc.Arbitrary<readonly Wish[]> {
  const wish = fc.record<Wish>({
    client: fc.nat(4),
    ask,
    // Equal instants are frequent on purpose.
    waitsMs: fc.nat(4),
    takesMs: fc.nat(6),
    at: fc.constantFrom(0, 0.5, 1),
    fate: fc.oneof(
      { weight: 8, arbitrary: fc.constant<Wish["fate"]>("ok") },
      { weight: 1, arbitrary: fc.constantFrom<Wish["fate"]>("failed", "never") },
      { weight: 1, arbitrary: fc.nat(30).map((lateMs): Wish["fate"] => ({ lateMs })) },
    ),
  });
  return fc
    .array(wish, { minLength: 1, maxLength: most })
    .map((wishes) =>
      wishes.map((one, i) => (one.ask.kind === "append" ? { ...one, ask: { ...one.ask, value: i } } : one)),
    );
}

const objects = {
  register: { ask: registerAsk, check: (some: readonly Operation[]) => checkRegister(key, some, stepsMax) },
  list: { ask: listAsk, check: (some: readonly Operation[]) => checkList(key, some, stepsMax) },
  bank: { ask: bankAsk, check: (some: readonly Operation[]) => checkBank(key, some, rules, stepsMax) },
};

for (const [name, { ask, check }] of Object.entries(objects))
  test(`a ${name} that is what it should be is always accepted, whatever was answered`, () => {
    fc.assert(
      fc.property(wishesOf(ask, 60), (wishes) => {
        const operations = simulate(wishes);
        const checked = check(operations);
        assert.equal(checked.verdict, "valid", JSON.stringify(checked, null, 2));
      }),
      { numRuns: 300 },
    );
  });

test("a register whose values are unique is rejected when one read is made stale beyond explanation", () => {
  let mutated = 0;
  fc.assert(
    fc.property(wishesOf(registerAsk, 40), fc.nat(), (wishes, choice) => {
      const unique = wishes.map((one, i) =>
        one.ask.kind === "write"
          ? { ...one, ask: { ...one.ask, value: 100 + i } }
          : { ...one, ask: { kind: "read" as const, key } },
      );
      const operations = simulate(unique);
      const stale = staleReads(operations);
      const bad = stale[choice % Math.max(1, stale.length)];
      if (bad === undefined) return;
      mutated++;
      assert.equal(checkRegister(key, bad, stepsMax).verdict, "invalid");
      // The search must find it too, without the rules that have names.
      assert.equal(searchRegister(bad, stepsMax).kind, "invalid");
    }),
    { numRuns: 400 },
  );
  assert.ok(50 < mutated, `only ${mutated} histories could be mutated`);
});

/** Each: one read told of a value that an acknowledged write had certainly replaced before it was sent. */
function staleReads(operations: readonly Operation[]): readonly (readonly Operation[])[] {
  const writes = operations.filter((one) => one.ask.kind === "write" && toldOf(one) !== null);
  return operations.flatMap((read) => {
    if (read.ask.kind !== "read" || toldOf(read) === null) return [];
    const old = writes.find((one) =>
      writes.some((newer) => one.doneAt < newer.sentAt && newer.doneAt < read.sentAt),
    );
    if (old?.ask.kind !== "write") return [];
    const told = { ...read, outcome: { kind: "ok" as const, told: { value: old.ask.value }, by: null } };
    return [operations.map((one) => (one === read ? told : one))];
  });
}

test("a list is rejected when a read forgets an acknowledged element, or two change places", () => {
  let mutated = 0;
  fc.assert(
    fc.property(wishesOf(listAsk, 40), fc.nat(), fc.boolean(), (wishes, choice, isSwap) => {
      const operations = simulate(wishes);
      const reads = operations.filter((one) => 2 <= (toldOf(one)?.values?.length ?? 0));
      const read = reads[choice % Math.max(1, reads.length)];
      if (read === undefined) return;
      const values = toldOf(read)?.values ?? [];
      const acknowledged = (value: number) =>
        operations.some(
          ({ ask, doneAt, outcome }) =>
            ask.kind === "append" && ask.value === value && outcome.kind === "ok" && doneAt < read.sentAt,
        );
      // Two that nobody else saw may well have come in the other order: another read must hold them.
      const isSeenTwice = reads.some((other) => other !== read);
      const at = values.findIndex(acknowledged);
      if (isSwap ? !isSeenTwice || !reads.every((one) => 2 <= (toldOf(one)?.values?.length ?? 0)) : at < 0)
        return;
      mutated++;
      const wrong = isSwap
        ? [values[1] as number, values[0] as number, ...values.slice(2)]
        : values.toSpliced(at, 1);
      const told = { ...read, outcome: { kind: "ok" as const, told: { values: wrong }, by: null } };
      const checked = checkList(
        key,
        operations.map((one) => (one === read ? told : one)),
        stepsMax,
      );
      assert.equal(checked.verdict, "invalid", JSON.stringify(checked));
    }),
    { numRuns: 400 },
  );
  assert.ok(100 < mutated, `only ${mutated} histories could be mutated`);
});

test("a bank is rejected when an acknowledged transfer left no trace", () => {
  let mutated = 0;
  fc.assert(
    fc.property(wishesOf(bankAsk, 30), (wishes) => {
      const operations = simulate(wishes.map((one) => ({ ...one, fate: "ok" as const })));
      const last = Math.max(...operations.map(dueBy));
      const total = simulate([...wishes.map((one) => ({ ...one, fate: "ok" as const })), look(last + 100)]);
      const final = total.at(-1);
      const balances = [...(final === undefined ? [] : (toldOf(final)?.balances ?? []))];
      if (final === undefined || balances.length === 0) return;
      mutated++;
      balances[0] = (balances[0] as number) - 1;
      balances[1] = (balances[1] as number) + 1;
      const told = { ...final, outcome: { kind: "ok" as const, told: { balances }, by: null } };
      assert.equal(checkBank(key, [...total.slice(0, -1), told], rules, stepsMax).verdict, "invalid");
    }),
    { numRuns: 200 },
  );
  assert.ok(100 < mutated, `only ${mutated} histories could be mutated`);
});

function look(waitsMs: number): Wish {
  return { client: 9, ask: { kind: "balances", key }, waitsMs, takesMs: 1, at: 0, fate: "ok" };
}

/** Right or wrong, the search says what trying each order says: answers are drawn, so that many are wrong. */
function agrees<State>(
  model: Model<State>,
  search: (some: readonly Operation[]) => string,
  ask: fc.Arbitrary<Ask>,
  told: fc.Arbitrary<number>,
): void {
  const seen = { valid: 0, invalid: 0 };
  fc.assert(
    fc.property(
      wishesOf(ask, 6),
      fc.array(told, { minLength: 6, maxLength: 6 }),
      fc.nat(5),
      (wishes, numbers, which) => {
        const right = simulate(wishes);
        const operations = right.map((one, i) => (i <= which ? withAnswer(one, numbers[i] as number) : one));
        const expected = explains(model, model.initial, operations) ? "valid" : "invalid";
        seen[expected]++;
        assert.equal(search(operations), expected);
      },
    ),
    { numRuns: 3000 },
  );
  assert.ok(200 < seen.valid && 200 < seen.invalid, JSON.stringify(seen));
}

function withAnswer(operation: Operation, number: number): Operation {
  if (operation.outcome.kind !== "ok") return operation;
  const { ask } = operation;
  const told = (() => {
    switch (ask.kind) {
      case "read":
        return { value: number < 0 ? null : number };
      case "swap":
      case "transfer":
        return { done: number % 2 === 0 };
      default:
        return toldOf(operation) ?? {};
    }
  })();
  return { ...operation, outcome: { kind: "ok", told, by: null } };
}

/** Every order that time permits, with and without each of unknown outcome. */
function explains<State>(model: Model<State>, state: State, left: readonly Operation[]): boolean {
  const possible = left.filter(({ outcome }) => outcome.kind !== "failed");
  if (possible.every(({ outcome }) => outcome.kind === "unknown")) return true;
  return possible.some((one) => {
    if (possible.some((other) => other !== one && dueBy(other) < one.sentAt)) return false;
    const after = model.step(state, one);
    return (
      after !== undefined &&
      explains(
        model,
        after,
        possible.filter((other) => other !== one),
      )
    );
  });
}

test("the search of a register says what trying every order says", () => {
  const told = fc.integer({ min: -1, max: 3 });
  agrees(registerModel, (some) => searchRegister(some, stepsMax).kind, registerAsk, told);
  agrees(registerModel, (some) => linearize(registerModel, some, stepsMax).kind, registerAsk, told);
});

test("the search of a bank says what trying every order says", () => {
  const model = bankModel(rules);
  agrees(model, (some) => searchBank(some, rules, stepsMax).kind, bankAsk, fc.nat(3));
});

test("what is called a witness is bad by itself, and nothing in it could be weakened", () => {
  let shrunk = 0;
  fc.assert(
    fc.property(
      wishesOf(registerAsk, 25),
      fc.array(fc.integer({ min: -1, max: 3 }), { minLength: 25, maxLength: 25 }),
      (wishes, numbers) => {
        const operations = simulate(wishes).map((one, i) => withAnswer(one, numbers[i] as number));
        const search = (some: readonly Operation[]) => searchRegister(some, stepsMax);
        if (search(operations).kind !== "invalid") return;
        shrunk++;
        const witness = shrink(operations, search);
        assert.equal(search(witness).kind, "invalid");
        for (const one of witness.filter(({ outcome }) => outcome.kind === "ok")) {
          const weaker = witness.flatMap((other): Operation[] => {
            if (other !== one) return [other];
            return mayWrite(other) ? [{ ...other, outcome: { kind: "unknown", because: "" } }] : [];
          });
          assert.equal(search(weaker).kind, "valid");
        }
      },
    ),
    { numRuns: 300 },
  );
  assert.ok(30 < shrunk, `only ${shrunk} were shrunk`);
});
