/** What an exchange may still spend: time until its deadlines, and repeats of its service's budget. */
import type { InstantMs, SpanMs } from "../core/model/time.ts";
import { mayRepeat, type RetryBudget } from "../core/traffic/budget.ts";
import { leftOf } from "../core/traffic/deadline.ts";
import { monotonicNow } from "./monotonic.ts";
import type { ServicePlan } from "./service-plan.ts";

/** Envoy's least number of repeats at once. */
const repeatsAtLeast = 3;

/** Until the service's deadline; infinite: it has none. */
export function timeLeftMs({ rules: { deadlineMs } }: ServicePlan, arrivedAt: InstantMs): SpanMs {
  return deadlineMs === null ? Number.POSITIVE_INFINITY : leftOf(deadlineMs, arrivedAt, monotonicNow());
}

/** Until nothing is held any more. */
export function holdLeftMs(plan: ServicePlan, arrivedAt: InstantMs): SpanMs {
  const { holdMaxMs } = plan.route.rules;
  return Math.min(leftOf(holdMaxMs, arrivedAt, monotonicNow()), timeLeftMs(plan, arrivedAt));
}

/** `isResend`: a byte of it has been sent before. */
export function mayRepeatNow(plan: ServicePlan, isResend: boolean): boolean {
  return mayRepeat(budgetOf(plan), plan.active, plan.repeating) && (!isResend || mayResendNow(plan));
}

export function mayResendNow(plan: ServicePlan): boolean {
  return plan.ledger.mayResend(budgetOf(plan), monotonicNow());
}

function budgetOf({ route }: ServicePlan): RetryBudget {
  return { ratio: route.rules.retryBudget, atLeast: repeatsAtLeast };
}
