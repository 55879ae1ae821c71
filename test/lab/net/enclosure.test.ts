/** The lab of somebody who is not root: theirs to break and to look at from another shell, and gone without a trace. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { type TestContext, test } from "node:test";
import { adviceOn, endEnclosure, isEnclosedIn, processesOf } from "../../../src/lab/net/enclosure.ts";
import { eventually } from "../demo-process.ts";
import { isAlive, reaperOf, running } from "./lab-process.ts";
import { Person } from "./person.ts";
import { isLeftOut } from "./place-probe.ts";

/** Whether this machine keeps its users from namespaces of their own, or lacks something else. */
function isLeftOutFor(person: Person, context: TestContext): boolean {
  const missing = person.ask("requirements.ts", "tell(part.whatLabsMiss())") as string[];
  const why = person.ask("enclosure.ts", "tell(part.whyNoEnclosure())");
  return isLeftOut(context, [...missing, ...(why === null ? [] : [why as string])]);
}

for (const [what, settings, advice] of [
  ["a limit of 0", { "user.max_user_namespaces": "0" }, /"sudo sysctl -w user\.max_user_namespaces=10000"/],
  [
    "Debian's switch and AppArmor's",
    { "kernel.unprivileged_userns_clone": "0", "kernel.apparmor_restrict_unprivileged_userns": "1" },
    /unprivileged_userns_clone=1" and "sudo sysctl -w kernel\.apparmor_restrict_unprivileged_userns=0"/,
  ],
  ["nothing that a setting tells", { "user.max_user_namespaces": "9000" }, /container/],
] as const)
  test(`who may make no namespaces because of ${what} is told what to do`, () => {
    const told = adviceOn((name) => (settings as Record<string, string>)[name] ?? null);
    assert.match(told, advice);
    assert.match(told, /sudo.*"holdfast demo"/s);
    assert.equal(told.includes("9000"), false);
  });

test("a folder of labs that others may write to is not believed, and a slot is claimed once", {
  timeout: 60_000,
}, () => {
  using person = new Person();
  const claims = "part.makeLabsFolder(); tell([part.claim(0), part.claim(0), part.claim(1)])";
  assert.deepEqual(person.ask("labs.ts", claims), [true, false, true]);
  assert.equal((person.ask("labs.ts", "tell(part.findLabs())") as unknown[]).length, 2);
  chmodSync(person.labsFolder, 0o777);
  assert.deepEqual(person.ask("labs.ts", "tell(part.findLabs())"), []);
  const refused = "try { part.makeLabsFolder(); tell(null); } catch (error) { tell(error.message); }";
  assert.match(person.ask("labs.ts", refused) as string, /others may write to it.*TMPDIR/);
});

test("whoever is not root is refused a scenario whose disks break, before anything is started", {
  timeout: 120_000,
}, (context) => {
  using person = new Person();
  if (isLeftOutFor(person, context)) return;
  const { status, stderr } = person.holdfast("lab", "run", "disk-full-at-primary");
  assert.equal(status, 4, stderr);
  assert.match(stderr, /only root may mount disks.*sudo/);
  assert.equal(existsSync(person.labsFolder), false);
});

test("where users may have no namespaces the lab says so, and what to do", {
  timeout: 120_000,
}, (context) => {
  using person = new Person();
  if (isLeftOutFor(person, context)) return;
  const { status, stderr } = person.holdfastAlone("lab", "up");
  assert.equal(status, 4, stderr);
  assert.match(stderr, /cannot run here: .*"sudo sysctl -w user\.max_user_namespaces=10000".*sudo.*demo/s);
});

for (const [who, isReaperKilled] of [
  ["its reaper removes all of it", false],
  ["and its reaper too, `lab down` removes all of it", true],
] as const)
  test(`when the lab of somebody who is not root is killed with SIGKILL, ${who}`, {
    timeout: 300_000,
  }, async (context) => {
    using person = new Person();
    if (isLeftOutFor(person, context)) return;
    const lab = person.start("lab", "up");
    const exited = once(lab, "exit");
    let enclosure = "";
    try {
      const { file, state } = await running(lab, person.labsFolder);
      enclosure = state.enclosure ?? "";
      assert.ok(isEnclosedIn(enclosure, state.pid));
      assert.equal(existsSync("/run/holdfast-enclosure.json"), false, "this process is in no enclosure");
      await eventually("everything in regions runs as the person, without any power", 60_000, () =>
        state.processes.every(({ pid }) => mayNothing(pid, person.uid)),
      );
      const fault = person.holdfast("lab", "fault", "blackhole", "--region", "eu-west");
      assert.equal(fault.status, 0, fault.stderr);
      assert.match(fault.stdout, /eu-west reaches nobody/);
      // Agents of the other regions are reached from the machine's place in the enclosure (N3).
      await eventually("the status can be asked for from another shell", 60_000, () => {
        const { status, stdout } = person.holdfast("status", "--state", file);
        return status !== 4 && stdout.includes("eu-central");
      });
      const inside = processesOf(enclosure);
      assert.ok(10 < inside.length, `${inside.length} processes`);
      if (isReaperKilled) process.kill(reaperOf(lab), "SIGKILL");
      lab.kill("SIGKILL");
      await exited;
      if (isReaperKilled) {
        assert.ok(0 < processesOf(enclosure).length, "nobody has cleaned up yet");
        const down = person.holdfast("lab", "down");
        assert.equal(down.status, 0, down.stderr);
      }
      // The reaper is one of them, and the last.
      await eventually("everything is gone", 120_000, () => !inside.some(isAlive));
      assert.deepEqual(processesOf(enclosure), []);
      assert.equal(existsSync(dirname(state.topologyFile)), false);
      assert.deepEqual(readdirSync(person.labsFolder), []);
    } finally {
      lab.kill("SIGKILL");
      await endEnclosure(enclosure);
    }
  });

function mayNothing(pid: number, uid: number): boolean {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return new RegExp(`^Uid:\\s+${uid}\\s`, "m").test(status) && /^CapEff:\s+0+$/m.test(status);
}
