/**
 * Histories written by hand, a line an operation: `client sent-done ask : outcome [by]`.
 *
 *     a 0-10 append l 1 : ok west@1        b 20-30 list l : 1,2 west@1       (an empty list: [])
 *     a 0-10 write r 5 : ?                 b 20-30 read r : 5                (never written: null)
 *     a 0-10 swap r 5 6 : yes              b 20-30 transfer k 0 1 30 : no    b 40-50 balances k : 70,130
 *
 * `?`: of unknown outcome. `x`: failed. Without `by`: west@1.
 */
import assert from "node:assert/strict";
import type {
  Ask,
  BankRules,
  History,
  Operation,
  Outcome,
  Told,
} from "../../../src/lab/history/operation.ts";

export const bankOf100: BankRules = { opening: [100, 100], mayOverdraw: false };

export function historyOf(story: string, bank: BankRules = bankOf100): History {
  const lines = story.split("\n").filter((line) => line.trim() !== "");
  const operations = lines.map((line, number) => operationOf(line.trim(), number));
  return { run: "story", bank, operations: operations.sort((a, b) => a.sentAt - b.sentAt) };
}

function operationOf(line: string, number: number): Operation {
  const [, client = "", sent, done, asked = "", said = "", by = "west@1"] =
    /^(\w) (\d+)-(\d+) ([\w ]+) : (\S+)(?: (\S+))?$/.exec(line) ?? assert.fail(`no operation: ${line}`);
  const ask = askOf(asked.split(" "));
  return {
    number,
    client: client.charCodeAt(0) - "a".charCodeAt(0),
    sentAt: Number(sent),
    doneAt: Number(done),
    ask,
    outcome: outcomeOf(ask, said, by),
  };
}

function askOf([kind = "", key = "", ...rest]: readonly string[]): Ask {
  const [one = 0, two = 0, three = 0] = rest.map(Number);
  switch (kind) {
    case "read":
    case "list":
    case "balances":
      return { kind, key };
    case "write":
    case "append":
      return { kind, key, value: one };
    case "swap":
      return { kind, key, from: one, to: two };
    case "transfer":
      return { kind, key, from: one, to: two, amount: three };
    default:
      return assert.fail(`nobody can ask for ${kind}`);
  }
}

function outcomeOf(ask: Ask, said: string, by: string): Outcome {
  if (said === "?") return { kind: "unknown", because: "timeout" };
  if (said === "x") return { kind: "failed", because: "refused" };
  const [member = "", epoch = "0"] = by.split("@");
  return { kind: "ok", told: toldOf(ask, said), by: { member, epoch: Number(epoch) } };
}

function toldOf(ask: Ask, said: string): Told {
  const numbers = said === "[]" ? [] : said.split(",").map(Number);
  switch (ask.kind) {
    case "read":
      return { value: said === "null" ? null : Number(said) };
    case "list":
      return { values: numbers };
    case "balances":
      return { balances: numbers };
    case "swap":
    case "transfer":
      assert.match(said, /^(yes|no)$/);
      return { done: said === "yes" };
    default:
      assert.equal(said, "ok");
      return {};
  }
}
