/** `holdfast replay` as a person runs it: on a recording that is whole, torn, tampered with, or none. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { AgentEventBody } from "../../src/core/machine/event.ts";
import { transition } from "../../src/core/machine/machine.ts";
import { encodeEntry, startEntry, stepEntry } from "../../src/core/machine/recording.ts";
import { initialState } from "../../src/core/machine/state.ts";
import { plainShape, topologyOf } from "../../src/sim/shapes.ts";

const tools = { digest: (text: string) => createHash("sha256").update(text).digest("hex") };
const folder = mkdtempSync(join(tmpdir(), "holdfast-replay-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** The first moments of an agent, as it would have recorded them. */
function recording(): string[] {
  const options = { self: "west", boot: "west-1", topology: topologyOf(plainShape), at: 1000 };
  const lines = [encodeEntry(startEntry(options))];
  let state = initialState(options);
  const tell = (at: number, body: AgentEventBody) => {
    const event = { ...body, at, wall: at };
    const step = transition(state, event, tools);
    state = step.state;
    lines.push(encodeEntry(stepEntry(event, step.commands, tools)));
  };
  tell(1001, { kind: "store-loaded" });
  tell(1010, { kind: "woken" });
  tell(1020, { kind: "probed", service: "orders", region: "east", ok: false });
  tell(1030, { kind: "write-replied", id: 1, outcome: { kind: "unknown", because: "no answer" } });
  tell(2500, { kind: "woken" });
  return lines;
}

function replay(lines: readonly string[], ...flags: readonly string[]) {
  const file = join(folder, "recording.jsonl");
  writeFileSync(file, lines.join("\n"));
  const cli = fileURLToPath(new URL("../../src/cli/cli.ts", import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, "replay", file, ...flags], {
    encoding: "utf8",
  });
  return { status, output: stdout + stderr };
}

test("holdfast replay says that every step came out the same", () => {
  const { status, output } = replay([...recording(), ""]);
  assert.match(output, /5 steps came out the same/);
  assert.equal(status, 0);
});

test("holdfast replay --story tells what led to commands", () => {
  const { output } = replay(recording(), "--story");
  assert.match(output, /"kind":"store-loaded"/);
  assert.match(output, /-> {"kind":"write"/);
});

test("a step that comes out otherwise ends it, with the line and what comes out now", () => {
  const lines = recording().map((line) => line.replace('"at":2500', '"at":1031'));
  const { status, output } = replay(lines);
  assert.match(output, /recording\.jsonl:6: step 5 came out otherwise/);
  assert.equal(status, 1);
});

test("a last line that is torn is told and forgiven, one in the middle is not", () => {
  const torn = replay([...recording(), '{"kind":"step","eve']);
  assert.match(torn.output, /5 steps came out the same; the last line is torn/);
  assert.equal(torn.status, 0);
  const [start, ...steps] = recording();
  const middle = replay([start as string, '{"kind":"st', ...steps]);
  assert.equal(middle.status, 3);
});

test("what is no recording is refused", () => {
  assert.equal(replay(["hello"]).status, 3);
  assert.equal(replay([]).status, 3);
  assert.equal(replay(recording().slice(1)).status, 3);
});
