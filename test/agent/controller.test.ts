/** The loop that lives: the order of events, what it does after a pause, and what when the machine asserts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createController } from "../../src/agent/controller.ts";
import { createRecorder } from "../../src/agent/record.ts";
import type { Command } from "../../src/core/machine/command.ts";
import type { AgentEvent, AgentEventBody } from "../../src/core/machine/event.ts";
import { decodeEntry, emptyReplay, type Replay, replayEntry } from "../../src/core/machine/recording.ts";
import { initialState } from "../../src/core/machine/state.ts";
import { sha256, threeRegions } from "./three-regions.ts";

const start = { self: "west", boot: "boot-1", topology: threeRegions(), at: 1000 };
const looked: AgentEventBody = {
  kind: "member-inspected",
  member: "pg-west",
  startedAt: 1000,
  seen: {
    state: "absent",
    incarnation: null,
    timeline: 0,
    position: 0,
    inserted: 0,
    epoch: 0,
    floor: 0,
    streaming: false,
    frozen: false,
    sealedBasis: 0,
    sealedPosition: 0,
    replicas: [],
    waitsFor: null,
    problem: "",
  },
};

function place(perform: (command: Command) => void = () => undefined) {
  let now = 1000;
  const events: AgentEvent[] = [];
  const commands: Command[] = [];
  const lines: string[] = [];
  const bugs: AgentEvent[] = [];
  const journal = { append: async (line: string) => void lines.push(line), close: async () => undefined };
  const recorder = createRecorder(journal, sha256);
  recorder.start(start);
  const controller = createController({
    clock: { now: () => now, wall: () => 1_700_000_000_000 + now },
    tools: { digest: sha256 },
    initial: initialState(start),
    perform: (command) => {
      commands.push(command);
      perform(command);
    },
    record: (event, its, state) => {
      events.push(event);
      recorder.step(event, its, state);
    },
    onBug: (_error, event) => bugs.push(event),
  });
  return {
    controller,
    events,
    commands,
    lines,
    bugs,
    pass: (ms: number) => {
      now += ms;
    },
    kinds: () => events.map(({ kind }) => kind),
  };
}

test("C1: what an event's commands bring about waits until the event is done", () => {
  const seenInside: number[] = [];
  const at = place(() => {
    // A port that answers at once, in the middle of a step.
    if (seenInside.length > 0) return;
    seenInside.push(at.events.length);
    at.controller.tell({ kind: "store-heard" });
    seenInside.push(at.events.length);
  });
  at.controller.tell({ kind: "store-loaded" });
  at.controller.tell(looked);
  at.controller.close();
  assert.equal(seenInside.length, 2, "some command was performed");
  assert.equal(seenInside[0], seenInside[1]);
  assert.ok(at.kinds().includes("store-heard"));
});

test("C2: after a pause the time is told before what waited for it, and after none it is not", () => {
  const at = place();
  at.controller.tell({ kind: "store-heard" });
  at.pass(100);
  at.controller.tell({ kind: "store-heard" });
  assert.deepEqual(at.kinds(), ["store-heard", "store-heard"]);
  at.pass(101);
  at.controller.tell({ kind: "store-heard" });
  at.controller.close();
  assert.deepEqual(at.kinds().slice(2), ["woken", "store-heard"]);
});

test("C3: when a step fails, the agent is told once and takes no event any more", () => {
  const at = place(() => {
    throw new Error("a state that cannot be");
  });
  try {
    at.controller.tell({ kind: "store-loaded" });
    at.pass(60);
    at.controller.tell(looked);
    at.pass(2000);
    at.controller.tell({ kind: "woken" });
    const told = at.kinds().length;
    at.controller.tell({ kind: "store-heard" });
    assert.equal(at.bugs.length, 1);
    assert.equal(at.kinds().length, told);
  } finally {
    at.controller.close();
  }
});

test("after its end it takes no event", () => {
  const at = place();
  at.controller.close();
  at.controller.tell({ kind: "store-heard" });
  assert.deepEqual(at.kinds(), []);
});

test("what was recorded, run again, comes out the same to the letter; and a line that was changed does not", () => {
  const at = place();
  const story: readonly AgentEventBody[] = [
    { kind: "store-loaded" },
    looked,
    { kind: "probed", service: "orders", region: "central", ok: true },
    { kind: "store-heard" },
  ];
  for (const body of story) {
    at.pass(60);
    at.controller.tell(body);
  }
  at.pass(2000);
  at.controller.tell({ kind: "woken" });
  at.controller.close();
  assert.ok(at.commands.length > 0, "the machine did something");
  assert.equal(replayAll(at.lines), "same: 5 steps");
  const withCommands = at.lines.findIndex((line) => /"commands":[1-9]/.test(line));
  const other = at.lines.with(
    withCommands,
    (at.lines[withCommands] as string).replace(/"digest":"./, '"digest":"x'),
  );
  assert.equal(replayAll(other), "differs");
});

function replayAll(lines: readonly string[]): string {
  let replay: Replay = emptyReplay;
  for (const line of lines) {
    const decoded = decodeEntry(line);
    assert.ok(decoded.kind === "entry", JSON.stringify(decoded));
    const next = replayEntry(replay, decoded.entry, { digest: sha256 });
    if (next.kind !== "same") return next.kind;
    replay = next.replay;
  }
  return `same: ${replay.steps} steps`;
}
