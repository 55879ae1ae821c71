/** The steps of a plan: which comes next, and what an outcome that is not known does to it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { nextSagaStep, type SagaEntry, type SagaNext, type SagaStep } from "../../../src/core/act/saga.ts";

const steps: readonly SagaStep[] = [
  { name: "prepare", undoable: false },
  { name: "announce", undoable: true },
  { name: "drain", undoable: true },
  { name: "stop", undoable: false, pointOfNoReturn: true },
  { name: "route", undoable: true },
];

function log(...entries: readonly `${string} ${SagaEntry["event"]}`[]): SagaEntry[] {
  return entries.map((entry, at) => {
    const [step, event] = entry.split(" ") as [string, SagaEntry["event"]];
    return { step, at, event, because: `${step} said so` };
  });
}

function check(entries: readonly SagaEntry[], expected: SagaNext): void {
  assert.deepEqual(nextSagaStep(steps, entries), expected);
}

test("an empty log begins with the first step, and a started step is waited for", () => {
  check([], { kind: "run", step: "prepare" });
  check(log("prepare started"), { kind: "wait", step: "prepare", undoing: false });
  check(log("prepare started", "prepare succeeded"), { kind: "run", step: "announce" });
});

test("G2: a step that failed undoes those before it, last first, and what cannot be undone is passed over", () => {
  const failed = log(
    "prepare started",
    "prepare succeeded",
    "announce started",
    "announce succeeded",
    "drain started",
    "drain failed",
  );
  check(failed, { kind: "undo", step: "drain" });
  const drained = [...failed, ...log("drain undo-started", "drain undo-succeeded")];
  check(drained, { kind: "undo", step: "announce" });
  check([...drained, ...log("announce undo-started")], { kind: "wait", step: "announce", undoing: true });
  check([...drained, ...log("announce undo-started", "announce undo-succeeded")], {
    kind: "finished",
    outcome: "undone",
    because: "drain failed: drain said so",
  });
});

test("G2: a step whose outcome is unknown is run again, and nothing is undone", () => {
  const unknown = log("prepare started", "prepare succeeded", "announce started", "announce unknown");
  check(unknown, { kind: "run", step: "announce" });
});

test("an undo that fails is said, and not repeated for ever", () => {
  const entries = log("announce started", "announce failed", "announce undo-started", "announce undo-failed");
  check(entries, {
    kind: "finished",
    outcome: "stuck",
    because: "undoing announce failed: announce said so",
  });
});

const passed = log(
  "prepare started",
  "prepare succeeded",
  "announce started",
  "announce succeeded",
  "drain started",
  "drain succeeded",
  "stop started",
  "stop succeeded",
);

test("G3: after the point of no return a failure stops the plan and undoes nothing", () => {
  check(passed, { kind: "run", step: "route" });
  check([...passed, ...log("route started", "route failed")], {
    kind: "finished",
    outcome: "stuck",
    because: "route failed after the point of no return: route said so",
  });
});

/** A plan whose steps end as `outcomes` say, one after the other. */
function drive(outcomes: readonly ("succeeded" | "failed" | "unknown")[]): {
  readonly entries: SagaEntry[];
  readonly end: SagaNext | null;
} {
  const entries: SagaEntry[] = [];
  const add = (step: string, event: SagaEntry["event"]) =>
    entries.push({ step, at: entries.length, event, because: "" });
  for (const outcome of [...outcomes, ...Array<"succeeded">(20).fill("succeeded")]) {
    const next = nextSagaStep(steps, entries);
    if (next.kind === "finished") return { entries, end: next };
    if (next.kind === "run") {
      add(next.step, "started");
      add(next.step, outcome);
    } else if (next.kind === "undo") {
      add(next.step, "undo-started");
      add(next.step, outcome === "succeeded" ? "undo-succeeded" : "undo-failed");
    } else assert.fail(`it waits for ${next.step}, and nothing is under way`);
  }
  return { entries, end: null };
}

test("every plan ends; nothing that succeeded is left standing when it was undone; nothing is undone past the point", () => {
  const outcome = fc.constantFrom("succeeded", "failed", "unknown") as fc.Arbitrary<
    "succeeded" | "failed" | "unknown"
  >;
  fc.assert(
    fc.property(fc.array(outcome, { maxLength: 12 }), (outcomes) => {
      const { entries, end } = drive(outcomes);
      assert.ok(end?.kind === "finished");
      const undone = (step: string) =>
        entries.some((entry) => entry.step === step && entry.event === "undo-succeeded");
      const done = (step: string) =>
        entries.some((entry) => entry.step === step && entry.event === "succeeded");
      if (done("stop")) assert.ok(!entries.some((entry) => entry.event.startsWith("undo")));
      if (end.outcome === "undone")
        for (const step of steps)
          if (step.undoable && done(step.name)) assert.ok(undone(step.name), step.name);
      if (end.outcome === "succeeded") assert.ok(steps.every((step) => done(step.name)));
    }),
    { numRuns: 2000 },
  );
});
