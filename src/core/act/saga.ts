/**
 * An intent log in, the next step out: what a plan does next, also after whoever ran it has died.
 *
 * G1. A step is logged as started before its effect, and as succeeded, failed or unknown after it.
 * G2. A step that failed begins the undoing of those before it, last first; one that is `unknown` is measured again
 *     (its own act is idempotent), never undone.
 * G3. From the point of no return on, nothing is undone: the plan goes forward, or stops and says so.
 * Source of the form: Oxide's steno, saga_log.rs.
 */
import type { InstantMs } from "../model/time.ts";

export interface SagaStep {
  readonly name: string;
  /** Whether there is something to undo when a later step fails. */
  readonly undoable: boolean;
  /** From this step on, forward only. */
  readonly pointOfNoReturn?: boolean;
}

export interface SagaEntry {
  readonly step: string;
  readonly at: InstantMs;
  readonly event:
    | "started"
    | "succeeded"
    | "failed"
    | "unknown"
    | "undo-started"
    | "undo-succeeded"
    | "undo-failed";
  readonly because: string;
}

export type SagaNext =
  | { readonly kind: "run"; readonly step: string }
  | { readonly kind: "wait"; readonly step: string; readonly undoing: boolean }
  | { readonly kind: "undo"; readonly step: string }
  | {
      readonly kind: "finished";
      readonly outcome: "succeeded" | "undone" | "stuck";
      readonly because: string;
    };

export function nextSagaStep(steps: readonly SagaStep[], log: readonly SagaEntry[]): SagaNext {
  const lastOf = (name: string) => log.findLast((entry) => entry.step === name);
  const failure = log.find((entry) => entry.event === "failed");
  const passed = steps.some((step) => step.pointOfNoReturn && lastOf(step.name)?.event === "succeeded");

  if (failure && !passed) {
    for (const step of [...steps].reverse()) {
      const last = lastOf(step.name);
      if (!last) continue;
      if (last.event === "undo-started") return { kind: "wait", step: step.name, undoing: true };
      if (last.event === "undo-failed")
        return {
          kind: "finished",
          outcome: "stuck",
          because: `undoing ${step.name} failed: ${last.because}`,
        };
      if (step.undoable && last.event !== "undo-succeeded") return { kind: "undo", step: step.name };
    }
    return { kind: "finished", outcome: "undone", because: `${failure.step} failed: ${failure.because}` };
  }
  for (const step of steps) {
    const last = lastOf(step.name);
    if (!last || last.event === "unknown") return { kind: "run", step: step.name };
    if (last.event === "started") return { kind: "wait", step: step.name, undoing: false };
    if (last.event === "failed")
      return {
        kind: "finished",
        outcome: "stuck",
        because: `${step.name} failed after the point of no return: ${last.because}`,
      };
  }
  return { kind: "finished", outcome: "succeeded", because: "all steps succeeded" };
}
