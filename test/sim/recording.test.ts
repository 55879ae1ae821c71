/** What an agent recorded in a simulated world comes out the same when it is run again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AgentEvent } from "../../src/core/machine/event.ts";
import { transition } from "../../src/core/machine/machine.ts";
import {
  decodeEntry,
  emptyReplay,
  encodeEntry,
  type Replay,
  replayEntry,
  startEntry,
  stateEntry,
  stepEntry,
} from "../../src/core/machine/recording.ts";
import { initialState } from "../../src/core/machine/state.ts";
import { Inflictor } from "../../src/sim/inflict.ts";
import { seconds } from "../../src/sim/kernel.ts";
import { planFor } from "../../src/sim/swarm.ts";
import { textDigest, World } from "../../src/sim/world.ts";

const tools = { digest: textDigest };

/** What the agent of the first region was told in a simulated incident, as it would have written it. */
function recordingOf(seed: number, rotateEvery: number): string[] {
  const plan = planFor(seed);
  const world = new World(plan.world);
  new Inflictor(world).plan(plan.faults);
  const lines: string[] = [];
  let startedAt = Number.NaN;
  let since = 0;
  const { onTransition } = world;
  world.onTransition = (agent, before, event, after, commands) => {
    if (agent.region === "west") {
      const { self, boot, topology } = before;
      if (before.startedAt !== startedAt) {
        startedAt = before.startedAt;
        lines.push(encodeEntry(startEntry({ self, boot, topology, at: startedAt })));
      } else if (since >= rotateEvery) {
        lines.push(encodeEntry(stateEntry(before)));
        since = 0;
      }
      since++;
      lines.push(encodeEntry(stepEntry(event, commands, tools)));
    }
    onTransition.call(world, agent, before, event, after, commands);
  };
  world.run(seconds(25));
  return lines;
}

function replayAll(lines: readonly string[]): { readonly steps: number; readonly because: string } {
  let replay: Replay = emptyReplay;
  for (const line of lines) {
    const decoded = decodeEntry(line);
    assert.equal(decoded.kind, "entry");
    if (decoded.kind !== "entry") break;
    const result = replayEntry(replay, decoded.entry, tools);
    if (result.kind !== "same") return { steps: replay.steps, because: result.because };
    replay = result.replay;
  }
  return { steps: replay.steps, because: "" };
}

test("what was recorded through incidents comes out the same, to the letter", () => {
  for (const seed of [3, 4, 8, 15]) {
    const lines = recordingOf(seed, Number.POSITIVE_INFINITY);
    const { steps, because } = replayAll(lines);
    assert.equal(because, "", `seed ${seed}`);
    assert.ok(steps > 300, `seed ${seed} has ${steps} steps`);
  }
});

test("a recording that begins in the middle of a life, with a state, comes out the same too", () => {
  const lines = recordingOf(4, 100);
  const states = lines.filter((line) => line.startsWith('{"kind":"state"')).length;
  assert.ok(states >= 2, `${states} states`);
  assert.equal(replayAll(lines).because, "");
  const from = lines.findIndex((line) => line.startsWith('{"kind":"state"'));
  const tail = replayAll(lines.slice(from));
  assert.equal(tail.because, "");
  assert.ok(tail.steps > 100);
});

test("a recording that was tampered with does not come out the same", () => {
  const lines = recordingOf(4, Number.POSITIVE_INFINITY);
  const index = lines.findIndex((line) => line.includes('"write-replied"') && line.includes('"succeeded"'));
  const other = lines.map((line, at) => (at === index ? line.replace('"succeeded"', '"conflict"') : line));
  assert.notEqual(replayAll(other).because, "");
});

test("a step without a start is no recording, and neither is a torn line", () => {
  const event: AgentEvent = { kind: "woken", at: 5, wall: 6 };
  const entry = stepEntry(event, [], tools);
  assert.equal(replayEntry(emptyReplay, entry, tools).kind, "malformed");
  assert.equal(decodeEntry('{"kind":"step","ev').kind, "malformed");
  assert.equal(decodeEntry('{"kind":"sleep"}').kind, "malformed");
  assert.equal(decodeEntry("null").kind, "malformed");
});

test("a state survives its line: what JSON has not, such as an instant that never comes, is kept", () => {
  const { topology } = new World(planFor(1).world);
  const state = initialState({ self: "west", boot: "west-1", topology, at: 10 });
  const { state: next } = transition(state, { kind: "woken", at: 11, wall: 12 }, tools);
  const decoded = decodeEntry(encodeEntry(stateEntry(next)));
  assert.deepEqual(decoded, { kind: "entry", entry: { kind: "state", schema: 1, state: next } });
});
