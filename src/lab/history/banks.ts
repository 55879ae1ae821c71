/** A bank: every snapshot keeps the sum and no account is overdrawn, and then the search, which misses no transfer. */
import { type Checked, type Finding, finding, found } from "./finding.ts";
import { type Linearized, linearize } from "./linearize.ts";
import { bankModel, slowBankModel } from "./models.ts";
import { type BankRules, dueBy, mayWrite, type Operation, toldOf } from "./operation.ts";
import { searchObject } from "./search.ts";

/** All operations on one bank. */
export function checkBank(
  key: string,
  operations: readonly Operation[],
  rules: BankRules,
  stepsMax: number,
): Checked {
  const named = operations.flatMap((operation) => snapshotFindings(key, operation, rules));
  if (named.length > 0) return found(named);
  const search = (some: readonly Operation[], max: number) => searchBank(some, rules, max);
  return searchObject(key, operations, stepsMax, search, (firm) => {
    const lastAt = Math.max(...firm.map(dueBy));
    return operations.filter((one) => mayWrite(one) && one.sentAt <= lastAt);
  });
}

/**
 * A transfer that was lost keeps the sum: only the search can see that. As one object, since a transfer writes every account
 * that it reads, and a look at the balances is one snapshot: what snapshot isolation leaves open cannot happen here.
 */
export function searchBank(operations: readonly Operation[], rules: BankRules, stepsMax: number): Linearized {
  const result = linearize(bankModel(rules), operations, stepsMax);
  if (result.kind !== "invalid" || rules.mayOverdraw) return result;
  return linearize(slowBankModel(rules), operations, stepsMax);
}

function snapshotFindings(key: string, operation: Operation, rules: BankRules): readonly Finding[] {
  const balances = toldOf(operation)?.balances;
  if (operation.ask.kind !== "balances" || balances === undefined) return [];
  const findings: Finding[] = [];
  const [held, opened] = [sum(balances), sum(rules.opening)];
  if (balances.length !== rules.opening.length)
    findings.push(
      finding("sum-changed", key, `${balances.length} of ${rules.opening.length} accounts are there`, [
        operation,
      ]),
    );
  else if (held !== opened)
    findings.push(finding("sum-changed", key, `the sum is ${held}, and was ${opened}`, [operation]));
  const account = balances.findIndex((balance) => balance < 0);
  if (!rules.mayOverdraw && 0 <= account)
    findings.push(finding("overdrawn", key, `account ${account} holds ${balances[account]}`, [operation]));
  return findings;
}

function sum(balances: readonly number[]): number {
  return balances.reduce((total, balance) => total + balance, 0);
}
