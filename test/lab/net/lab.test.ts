/** The lab as a user starts it: what it plays, what it leaves behind when it is killed, and what it refuses. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { regionNames } from "../../../src/lab/layout.ts";
import { labsFolder } from "../../../src/lab/net/labs.ts";
import { processesIn } from "../../../src/lab/net/network.ts";
import type { Played } from "../../../src/lab/net/verdict-text.ts";
import { holdfast } from "../../cli/run.ts";
import { eventually } from "../demo-process.ts";
import { isAlive, reaperOf, running } from "./lab-process.ts";
import { isLeftOut } from "./place-probe.ts";

const cli = fileURLToPath(new URL("../../../src/cli/cli.ts", import.meta.url));

/** The command line alone takes a second; with a load of 20 it was more than half a minute. */
const patient = { timeoutMs: 150_000 };

test("a scenario that is not there, and none at all, are refused with those that are", async () => {
  const unknown = await holdfast(["lab", "run", "earthquake"], patient);
  assert.equal(unknown.code, 3);
  assert.match(unknown.stderr, /no scenario earthquake .*blackhole-primary/);
  const none = await holdfast(["lab", "run"], patient);
  assert.equal(none.code, 2);
  assert.match(none.stderr, /blackhole-primary/);
});

test("a scenario file with a mistake is refused before anything is started", async () => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-scenarios-"));
  try {
    writeFileSync(join(folder, "mine.yaml"), "name: mine\nabout: too short\n");
    const run = await holdfast(["lab", "run", "mine", "--scenarios", folder], patient);
    assert.equal(run.code, 3);
    assert.match(run.stderr, /mine\.yaml is not valid:[\s\S]*about[\s\S]*faults[\s\S]*expect/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Of what holds on any machine, however busy. */
const always = ["lost", "doubled", "other", "overlap", "epoch-shared", "no-promotion", "history"];

test("a region vanishes: nothing is lost and another one leads; what is not met keeps logs and recordings", {
  timeout: 300_000,
}, async (context) => {
  if (isLeftOut(context)) return;
  const folder = mkdtempSync(join(tmpdir(), "holdfast-scenarios-"));
  try {
    const scenario = {
      name: "mine",
      about: "The region of the primary vanishes, and nobody may notice: nobody can.",
      faults: [{ fault: "blackhole", at: "primary", for: "6s" }],
      expect: { promotion: "required", leaderChangesMax: 9, writeGapMax: "1ms", safeFailedMax: 9999 },
    };
    // YAML takes JSON.
    writeFileSync(join(folder, "mine.yaml"), JSON.stringify(scenario));
    const [json, logs] = [join(folder, "verdicts.json"), join(folder, "logs")];
    const args = ["lab", "run", "mine", "--scenarios", folder, "--json", json, "--logs", logs];
    const { code, stdout, stderr } = await holdfast(args, { timeoutMs: 240_000 });
    assert.equal(code, 7, stderr);
    const { played } = JSON.parse(readFileSync(json, "utf8")) as { played: Played[] };
    const checks = new Map(played[0]?.verdict?.checks.map((check) => [check.id, check]));
    for (const id of always) assert.equal(checks.get(id)?.met, true, `${id}: ${stdout}`);
    assert.equal(checks.get("write-gap")?.met, false);
    assert.match(stdout, /✗ Longest time without writes[\s\S]*the machine's own longest/);
    assert.ok(stderr.includes(`logs and recordings are in ${join(logs, "mine")}`), stderr);
    for (const region of regionNames)
      for (const file of ["journal.jsonl", "agent.log", "etcd.log", "postgresql.log"])
        assert.ok(0 < statSync(join(logs, "mine", region, file)).size, `${region} ${file}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a round of faults drawn from a seed is played and judged", { timeout: 300_000 }, async (context) => {
  if (isLeftOut(context)) return;
  const { code, stdout, stderr } = await holdfast(["lab", "chaos", "--for", "1s", "--seed", "1"], {
    timeoutMs: 290_000,
  });
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /^1 round, 1 of them met; \d faults: /m);
});

for (const [who, isReaperKilled] of [
  ["its reaper removes all of it", false],
  ["and its reaper too, `lab down` removes all of it", true],
] as const)
  test(`when the lab is killed with SIGKILL, ${who}`, { timeout: 300_000 }, async (context) => {
    if (isLeftOut(context)) return;
    const lab = spawn(process.execPath, [cli, "lab", "up"], { stdio: ["ignore", "ignore", "inherit"] });
    const exited = once(lab, "exit");
    try {
      const { file, state } = await running(lab, labsFolder);
      assert.ok(state.network);
      const root = dirname(state.topologyFile);
      if (isReaperKilled) process.kill(reaperOf(lab), "SIGKILL");
      lab.kill("SIGKILL");
      await exited;
      if (isReaperKilled) {
        assert.ok(0 < processesIn(state.network).length, "nobody has cleaned up yet");
        const down = await holdfast(["lab", "down", String(state.network.slot)], { timeoutMs: 120_000 });
        assert.equal(down.code, 0, down.stderr);
      }
      const { namespaces } = state.network;
      await eventually("everything is gone", 120_000, () =>
        [...namespaces.map((name) => `/run/netns/${name}`), root, file].every((path) => !existsSync(path)),
      );
      for (const { pid, name } of state.processes) assert.equal(isAlive(pid), false, name);
    } finally {
      lab.kill("SIGKILL");
    }
  });
