/** The fencer as a real process against real process trees. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { FencerClient } from "../../src/adapters/fencer/fencer-client.ts";
import { createFakeMember, type FakeMember, until } from "./fake-member.ts";
import { type FencerProcess, startFencer } from "./fencer-process.ts";

const now = () => Number(process.hrtime.bigint()) / 1e6;

async function scene(t: TestContext) {
  const member = createFakeMember();
  const fencer = await startFencer(member.folder, member.place);
  const client = new FencerClient({ socketPath: fencer.socket, timeoutMs: 2000 });
  const all: FencerProcess[] = [fencer];
  t.after(async () => {
    await client.close();
    for (const each of all) {
      each.child.kill("SIGCONT");
      await each.end("SIGKILL");
    }
    member.remove();
  });
  await member.start();
  return { member, fencer, client, all };
}

/**
 * Waits until no process of the member is left; resolves with the last instant at which one was seen. So a test that had
 * to wait for the processor itself blames nobody else.
 */
async function gone(member: FakeMember, withinMs: number): Promise<number> {
  let aliveAt = Number.NEGATIVE_INFINITY;
  const isGone = () => {
    const at = now();
    if (member.count() === 0) return true;
    aliveAt = at;
    return false;
  };
  await until(isGone, withinMs, "the member is gone");
  return aliveAt;
}

function assertInTime(aliveAt: number, deadline: number): void {
  assert.ok(aliveAt < deadline + 50, `seen alive ${(aliveAt - deadline).toFixed(1)} ms after the deadline`);
}

test("a member that is petted lives past its first deadline, and is gone within 50 ms of the last one", async (t) => {
  const { member, client } = await scene(t);
  const start = now();
  for (let last = 0; last < 600; last = now() - start) {
    assert.equal(await client.pet({ epoch: 1, deadline: now() + 200 }), true);
    await new Promise((wake) => setTimeout(wake, 50));
  }
  assert.equal(member.count(), 5);
  const { deadline } = await client.state(1000);
  const at = await gone(member, 3000);
  assert.ok(deadline < now());
  assertInTime(at, deadline);
  t.diagnostic(`last seen ${(at - deadline).toFixed(1)} ms after the deadline`);
});

test("an agent that is stopped loses its member before deadline + 50 ms, and cannot renew when it goes on", async (t) => {
  const { member, fencer, client } = await scene(t);
  const script = join(member.folder, "agent.mjs");
  const module = new URL("../../src/adapters/fencer/fencer-client.ts", import.meta.url).href;
  writeFileSync(
    script,
    `import { FencerClient } from ${JSON.stringify(module)};
    const client = new FencerClient({ socketPath: process.argv[2] });
    const now = () => Number(process.hrtime.bigint()) / 1e6;
    for (;;) {
      const done = await client.pet({ epoch: 3, deadline: now() + 300 });
      console.log(done ? "petted" : "refused: " + client.lastRefusal);
      await new Promise((wake) => setTimeout(wake, 50));
    }`,
  );
  const agent = spawn(process.execPath, [script, fencer.socket], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  agent.stdout.on("data", (chunk) => {
    said += chunk;
  });
  try {
    await until(() => 3 <= said.split("petted").length, 5000, "the agent pets");
    agent.kill("SIGSTOP");
    const { deadline } = await client.state(1000);
    const at = await gone(member, 3000);
    assertInTime(at, deadline);
    agent.kill("SIGCONT");
    await until(() => said.includes("refused: it has fired in epoch 3"), 2000, "the agent is refused");
    assert.equal((await client.state(1000)).armed, false);
  } finally {
    agent.kill("SIGKILL");
  }
});

test("late pets, earlier deadlines and lower epochs do nothing", async (t) => {
  const { member, client } = await scene(t);
  const deadline = now() + 400;
  assert.equal(await client.pet({ epoch: 5, deadline }), true);
  assert.equal(await client.pet({ epoch: 5, deadline: deadline - 100 }), false);
  assert.equal(await client.pet({ epoch: 4, deadline: deadline + 1000 }), false);
  assert.equal(await client.pet({ epoch: 6, deadline: now() - 1 }), false);
  assert.equal(await client.disarm({ epoch: 4 }), false);
  const at = await gone(member, 3000);
  assert.ok(deadline < now());
  assertInTime(at, deadline);
});

test("once it has fired, only a higher epoch arms it, and a member started without a right is ended again", async (t) => {
  const { member, client } = await scene(t);
  await client.pet({ epoch: 2, deadline: now() + 50 });
  await gone(member, 3000);
  assert.equal(await client.pet({ epoch: 2, deadline: now() + 5000 }), false);
  await until(async () => (await client.state(1000)).fired === 1, 1000, "the firing is on record");
  member.launch(); // May be ended before it is complete, and what comes late is ended after it.
  await until(async () => 2 <= (await client.state(1000)).fired, 10_000, "it was ended again");
  await gone(member, 10_000);
  assert.equal(await client.disarm({ epoch: 2 }), true);
  await member.start();
  assert.equal(await client.pet({ epoch: 2, deadline: now() + 5000 }), false, "burnt for ever");
  assert.equal(await client.pet({ epoch: 3, deadline: now() + 5000 }), true);
  assert.equal(member.count(), 5);
});

test("frozen together with everything else, it ends the member when it wakes, before it takes any pet", async (t) => {
  const { member, fencer, client } = await scene(t);
  const deadline = now() + 200;
  await client.pet({ epoch: 1, deadline });
  fencer.child.kill("SIGSTOP");
  // In its socket before its deadline, and read after it.
  const queued = client.pet({ epoch: 1, deadline: deadline + 5000 });
  const higher = client.pet({ epoch: 1, deadline: deadline + 6000 });
  await until(() => deadline + 50 < now(), 1000, "the deadline has passed");
  assert.equal(member.count(), 5);
  fencer.child.kill("SIGCONT");
  const woke = now();
  assert.deepEqual(await Promise.all([queued, higher]), [false, false]);
  const at = await gone(member, 3000);
  assertInTime(at, woke);
  await until(async () => (await client.state(1000)).fired === 1, 1000, "the firing is on record");
});

test("killed and started again while armed, it keeps the very deadline of the last pet", async (t) => {
  const { member, fencer, client, all } = await scene(t);
  await client.pet({ epoch: 4, deadline: now() + 2000 });
  const deadline = now() + 3000;
  await client.pet({ epoch: 4, deadline });
  // A pet is answered before it is written (M2): killed in between, it would come back with the earlier deadline.
  await until(() => readFileSync(fencer.stateFile).includes(String(deadline)), 1000, "the pet is written");
  await fencer.end("SIGKILL");
  const second = await startFencer(member.folder, member.place);
  all.push(second);
  const state = await client.state(1000);
  assert.deepEqual(
    { armed: state.armed, epoch: state.epoch, deadline: state.deadline },
    { armed: true, epoch: 4, deadline },
  );
  assert.equal(await client.pet({ epoch: 3, deadline: now() + 9000 }), false, "lower epoch");
  const at = await gone(member, 4000);
  assert.ok(deadline < now());
  assertInTime(at, deadline);
});

test("killed, and started again after the deadline, it fires at once and remembers that for its next life", async (t) => {
  const { member, fencer, client, all } = await scene(t);
  const deadline = now() + 400;
  await client.pet({ epoch: 4, deadline });
  await fencer.end("SIGKILL");
  await until(() => deadline < now(), 1000, "the deadline has passed");
  assert.equal(member.count(), 5);
  const second = await startFencer(member.folder, member.place);
  all.push(second);
  await gone(member, 3000);
  assert.equal(await client.disarm({ epoch: 4 }), true);
  await second.end("SIGKILL");
  all.push(await startFencer(member.folder, member.place));
  assert.equal(await client.pet({ epoch: 4, deadline: now() + 5000 }), false);
  assert.equal((await client.state(1000)).fired, 1);
});

test("a state file that nobody can read is taken for the worst: it fires after the grace unless petted", async (t) => {
  const { member, fencer, client, all } = await scene(t);
  await client.pet({ epoch: 4, deadline: now() + 5000 });
  await fencer.end("SIGKILL");
  writeFileSync(fencer.stateFile, Buffer.alloc(8192));
  const before = now();
  const second = await startFencer(member.folder, member.place, { graceMs: 500 });
  all.push(second);
  const { armed, deadline } = await client.state(1000);
  assert.ok(armed && before + 500 < deadline && deadline <= now() + 500);
  const at = await gone(member, 3000);
  assert.ok(deadline < now());
  assertInTime(at, deadline);
});

test("told to stop while armed, it ends the member first; told to stop while disarmed, it leaves it alone", async (t) => {
  const { member, fencer, client, all } = await scene(t);
  await client.pet({ epoch: 1, deadline: now() + 5000 });
  assert.equal(await client.disarm({ epoch: 1 }), true);
  assert.equal(await fencer.end("SIGTERM"), 0);
  assert.equal(member.count(), 5);
  const second = await startFencer(member.folder, member.place);
  all.push(second);
  assert.equal(await client.pet({ epoch: 1, deadline: now() + 5000 }), true);
  assert.equal(await second.end("SIGTERM"), 0);
  assert.equal(member.count(), 0);
});

test("a second fencer on the same socket is refused, also while the first is frozen; a dead one's socket is replaced", async (t) => {
  const { member, fencer, client, all } = await scene(t);
  assert.equal(statSync(fencer.socket).mode & 0o777, 0o600);
  assert.equal(await client.pet({ epoch: 1, deadline: now() + 10_000 }), true);
  fencer.child.kill("SIGSTOP");
  const second = await startFencer(member.folder, member.place);
  all.push(second);
  assert.equal(second.child.exitCode, 1);
  assert.match(second.said(), /HOLDFAST_FENCER_ALREADY_RUNNING: cannot listen on .*another fencer answers/);
  assert.equal(member.count(), 5);
  fencer.child.kill("SIGCONT");
  await fencer.end("SIGKILL");
  const third = await startFencer(member.folder, member.place);
  all.push(third);
  assert.equal((await client.state(1000)).fired, 0);
  assert.equal(await client.disarm({ epoch: 1 }), true);
});

test("a fencer whose log nobody reads still fires", async (t) => {
  const { member, fencer, client } = await scene(t);
  fencer.child.stderr?.pause();
  fencer.child.stdout?.destroy();
  // 64 KiB fill the pipe and 64 KiB its reader: each line has some 100 bytes.
  for (let epoch = 1; epoch <= 900; epoch += 1) {
    assert.equal(await client.pet({ epoch, deadline: now() + 2000 }), true);
    assert.equal(await client.disarm({ epoch }), true);
  }
  assert.equal(await client.pet({ epoch: 1000, deadline: now() + 100 }), true);
  await gone(member, 2000);
});
