/** The watchdog device, played by a file: kept quiet exactly while the guard is in command. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Guard } from "../../src/fencer/guard.ts";
import { FencerMemory } from "../../src/fencer/memory.ts";
import { startWatchdog } from "../../src/fencer/watchdog.ts";
import { until } from "./fake-member.ts";

test("it is written to while armed, let go with a V when disarmed, and left alone while the member cannot be ended", async () => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-watchdog-"));
  const device = join(folder, "watchdog");
  const read = () => (existsSync(device) ? readFileSync(device, "utf8") : "");
  const { memory, kept } = await FencerMemory.open(join(folder, "state"));
  let now = 0;
  let stuck = true;
  const end = async () => {
    if (stuck) throw new Error("it hangs in its disk");
    return 0;
  };
  const parts = { now: () => now, end, memory, log: () => {}, boot: "b", aheadMaxMs: 1e6 };
  const guard = new Guard(parts, kept, 500);
  let turns = 0;
  const watched = new Proxy(guard, {
    get: (target, name) => {
      if (name === "isArmed") turns += 1;
      const value = Reflect.get(target, name) as unknown;
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const watchdog = startWatchdog(device, 5, watched, () => {});
  try {
    await until(() => 3 < turns, 2000, "it looked at a disarmed guard");
    assert.equal(existsSync(device), false, "not opened before there is something to guard");
    await guard.pet({ epoch: 1, deadline: 500_000 });
    await until(() => /^\.{3,}$/.test(read()), 2000, "it is written to");
    await guard.disarm({ epoch: 1 });
    await until(() => read().endsWith("V"), 2000, "it is let go");
    await guard.pet({ epoch: 1, deadline: 500_000 });
    await until(() => read().endsWith("."), 2000, "it is written to again");
    now = 500_001;
    const before = turns;
    guard.state();
    await until(() => before + 2 < turns, 2000, "the next turn has come");
    const silentFrom = read();
    const then = turns;
    await until(() => then + 5 < turns, 2000, "five turns");
    assert.equal(read(), silentFrom, "a host whose member cannot be ended goes down");
    stuck = false;
    await until(() => read().endsWith("V"), 2000, "it is let go when the member is seen gone");
  } finally {
    stuck = false;
    await guard.close("the test is over");
    await watchdog.close();
    rmSync(folder, { recursive: true });
  }
});
