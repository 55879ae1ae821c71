/**
 * A history of what clients asked and were told, judged: pure, and it believes nobody but them.
 *
 * - H1. Every object taken by itself behaves as if there were one copy of it and every operation took effect at one instant
 *   between its sending and its answer (linearizability, Herlihy and Wing 1990). So nothing acknowledged is lost or
 *   doubled, no read at the primary is stale, and what was refused has no effect.
 * - H2. What has no answer takes effect once, at any time after it was sent, or never.
 * - H3. Every snapshot of a bank keeps the sum, and no account is overdrawn where that is forbidden.
 * - H4. Two members never acknowledge at the same time; epochs never go down, for one client or between them (S2, S3).
 * - H5. A history that could not have been bad is not good: `unknown`, and `problems` say why. So is a search without end.
 *
 * What is not asked: serializability across objects. Snapshot isolation permits write skew, PostgreSQL shows it without any
 * fault, and no failover makes it worse.
 */
import { checkAcknowledgements } from "./acknowledgements.ts";
import { checkBank } from "./banks.ts";
import type { Checked, Finding, FindingKind, Verdict } from "./finding.ts";
import { checkList } from "./lists.ts";
import { type History, mayWrite, type ObjectKind, type Operation, objectOf, toldOf } from "./operation.ts";
import { checkRegister } from "./registers.ts";

export interface CheckOptions {
  /**
   * Steps of one search, for one object; beyond, it is unknown. 2 million took 12 to 21 s and 600 MB on a busy machine; more
   * finds an answer where very many operations of unknown outcome meet on one object.
   */
  readonly stepsMax: number;
}

export const checkDefaults: CheckOptions = { stepsMax: 2_000_000 };

export type CheckName = ObjectKind | "acknowledgements";

export interface CheckFigures {
  readonly name: CheckName;
  readonly verdict: Verdict;
  /** Objects of this kind. */
  readonly objects: number;
  readonly operations: number;
  /** Of the searches. */
  readonly steps: number;
}

export interface HistoryVerdict {
  /** The worst of the checks: invalid, else unknown, else valid. Whoever asks for proof takes `valid` only. */
  readonly verdict: Verdict;
  readonly checks: readonly CheckFigures[];
  /** How many there are of each kind. */
  readonly found: Readonly<Partial<Record<FindingKind, number>>>;
  /** The first of each kind, 20 at most. */
  readonly findings: readonly Finding[];
  /** Why it is not known; empty: it is. */
  readonly problems: readonly string[];
  readonly outcomes: { readonly ok: number; readonly failed: number; readonly unknown: number };
}

export function checkHistory(history: History, options: Partial<CheckOptions> = {}): HistoryVerdict {
  const { stepsMax } = { ...checkDefaults, ...options };
  const { operations, bank } = history;
  const objects = Map.groupBy(operations, ({ ask }) => objectOf(ask));
  const check: Readonly<Record<ObjectKind, (key: string, some: readonly Operation[]) => Checked>> = {
    register: (key, some) => checkRegister(key, some, stepsMax),
    list: (key, some) => checkList(key, some, stepsMax),
    bank: (key, some) => checkBank(key, some, bank, stepsMax),
  };
  const figures: CheckFigures[] = [];
  const all: Checked[] = [];
  const take = (name: CheckName, count: number, checked: readonly Checked[]) => {
    all.push(...checked);
    figures.push({
      name,
      verdict: worstOf(checked.map(({ verdict }) => verdict)),
      objects: checked.length,
      operations: count,
      steps: checked.reduce((sum, { steps }) => sum + steps, 0),
    });
  };
  for (const [kind, some] of objects)
    take(
      kind,
      some.length,
      [...Map.groupBy(some, ({ ask }) => ask.key)].map(([key, ofOne]) => check[kind](key, ofOne)),
    );
  take("acknowledgements", operations.length, [checkAcknowledgements(operations)]);

  const findings = all.flatMap((one) => one.findings);
  const problems = [
    ...all.flatMap(({ because }) => (because === "" ? [] : [because])),
    ...whyItProvesNothing(history),
  ];
  const worst = worstOf(figures.map(({ verdict }) => verdict));
  const count = (kind: Operation["outcome"]["kind"]) =>
    operations.filter(({ outcome }) => outcome.kind === kind).length;
  return {
    verdict: worst === "valid" && problems.length > 0 ? "unknown" : worst,
    checks: figures,
    found: Object.fromEntries(
      [...Map.groupBy(findings, ({ kind }) => kind)].map(([kind, some]) => [kind, some.length]),
    ),
    findings: [...Map.groupBy(findings, ({ kind }) => kind).values()].flatMap((some) =>
      some.slice(0, examplesMax),
    ),
    problems,
    outcomes: { ok: count("ok"), failed: count("failed"), unknown: count("unknown") },
  };
}

const examplesMax = 20;

function worstOf(verdicts: readonly Verdict[]): Verdict {
  if (verdicts.includes("invalid")) return "invalid";
  return verdicts.includes("unknown") ? "unknown" : "valid";
}

/** A write that nobody looked for afterwards may be lost, and a history without writes or looks shows nothing (H5). */
function whyItProvesNothing({ operations }: History): readonly string[] {
  const acknowledged = operations.filter((operation) => toldOf(operation) !== null);
  const writes = acknowledged.filter(mayWrite);
  if (writes.length === 0) return ["no write was acknowledged"];
  const unseen = [...Map.groupBy(acknowledged, ({ ask }) => ask.key)].flatMap(([key, some]) => {
    const lastWrite = Math.max(...some.filter(mayWrite).map(({ doneAt }) => doneAt));
    const isLooked = some.some((one) => !mayWrite(one) && isLook(one) && lastWrite < one.sentAt);
    return lastWrite === Number.NEGATIVE_INFINITY || isLooked ? [] : [key];
  });
  if (unseen.length === 0) return [];
  return [
    `nobody looked after the last acknowledged write of ${unseen.slice(0, 5).join(", ")}: it may be lost`,
  ];
}

function isLook({ ask }: Operation): boolean {
  return ask.kind === "read" || ask.kind === "list" || ask.kind === "balances";
}
