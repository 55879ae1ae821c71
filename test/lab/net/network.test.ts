/** Real namespaces, real packets: what is cut, in which direction, until when, and that nothing is left. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { countSwallowing, heal, swallow } from "../../../src/lab/net/filter.ts";
import { makeDistantNetwork } from "../../../src/lab/net/hub.ts";
import {
  describeNetwork,
  leftOverNetworks,
  makeNetwork,
  processesIn,
  removeNetwork,
  takeSlot,
} from "../../../src/lab/net/network.ts";
import { tryTool } from "../../../src/lab/net/tool.ts";
import { isLeftOut, type Probe, startProbe } from "./place-probe.ts";

const everything = { kind: "all", port: null } as const;
const longMs = 600_000;

interface Setting {
  readonly a: Probe;
  readonly b: Probe;
  readonly c: Probe;
}

/** Of 50 that were sent. */
async function arriving(from: Probe, to: Probe): Promise<number> {
  await from.send(to.place, 50);
  return to.take(from.place);
}

async function inNetwork(body: (setting: Setting) => Promise<void>): Promise<void> {
  const network = describeNetwork(takeSlot(), ["a", "b", "c"]);
  const probes: Probe[] = [];
  try {
    makeNetwork(network);
    for (const place of network.regions) probes.push(await startProbe(place));
    const [a, b, c] = probes;
    assert.ok(a && b && c);
    await body({ a, b, c });
  } finally {
    for (const probe of probes) await probe.close();
    removeNetwork(network.record);
  }
}

test("a cut swallows one direction between two places and nothing else", {
  timeout: 60_000,
}, async (context) => {
  if (isLeftOut(context)) return;
  await inNetwork(async ({ a, b, c }) => {
    assert.equal(await arriving(a, b), 50);
    swallow([{ from: a.place, to: b.place }], everything, longMs);
    assert.equal(await arriving(a, b), 0);
    assert.equal(await arriving(b, a), 50);
    assert.equal(await arriving(c, b), 50);
    assert.equal(await arriving(a, c), 50);
    heal([a.place, b.place, c.place]);
    assert.equal(await arriving(a, b), 50);
  });
});

test("a cut ends by itself, and one that is renewed lasts as long as the newer one", {
  timeout: 60_000,
}, async (context) => {
  if (isLeftOut(context)) return;
  await inNetwork(async ({ a, b }) => {
    const way = [{ from: a.place, to: b.place }];
    swallow(way, everything, longMs);
    swallow(way, everything, 1500);
    const until = performance.now() + 30_000;
    assert.equal(countSwallowing(b.place), 1);
    while (countSwallowing(b.place) > 0) {
      assert.ok(performance.now() < until, "it still swallows");
      await sleep(50);
    }
    assert.equal(await arriving(a, b), 50);
  });
});

test("of many packets as many get lost as was asked for", { timeout: 60_000 }, async (context) => {
  if (isLeftOut(context)) return;
  await inNetwork(async ({ a, b }) => {
    swallow([{ from: a.place, to: b.place }], { kind: "loss", percent: 20 }, longMs);
    await a.send(b.place, 2000);
    const arrived = await b.take(a.place);
    // 1600 expected, standard deviation 18: six of them.
    assert.ok(1490 < arrived && arrived < 1710, `${arrived} of 2000 arrived`);
  });
});

test("losses of several shares on one way add up, each with its own end", {
  timeout: 60_000,
}, async (context) => {
  if (isLeftOut(context)) return;
  await inNetwork(async ({ a, b }) => {
    const way = [{ from: a.place, to: b.place }];
    swallow(way, { kind: "loss", percent: 50 }, longMs);
    swallow(way, { kind: "loss", percent: 50 }, longMs);
    swallow(way, { kind: "loss", percent: 20 }, 5000);
    await a.send(b.place, 2000);
    const arrived = await b.take(a.place);
    // 800 expected, standard deviation 22: six of them.
    assert.ok(665 < arrived && arrived < 935, `${arrived} of 2000 arrived`);
    while (countSwallowing(b.place) > 1) await sleep(50);
    assert.equal(countSwallowing(b.place), 1);
    heal([a.place, b.place]);
    assert.equal(await arriving(a, b), 50);
  });
});

test("a network that is removed leaves no namespace, no link and no process, whatever ran in it", {
  timeout: 60_000,
}, async (context) => {
  if (isLeftOut(context)) return;
  const network = describeNetwork(takeSlot(), ["a"]);
  makeNetwork(network);
  const [place] = network.regions;
  assert.ok(place);
  const probe = await startProbe(place);
  const pids = processesIn(network.record);
  assert.equal(pids.length, 1);
  // Found by its names alone: nobody has to remember it.
  const found = leftOverNetworks().find(({ slot }) => slot === network.record.slot);
  assert.ok(found);
  removeNetwork(found);
  for (const pid of pids) assert.equal(existsSync(`/proc/${pid}/ns/net`), false);
  for (const namespace of network.record.namespaces)
    assert.equal(existsSync(`/run/netns/${namespace}`), false, namespace);
  assert.equal(tryTool("ip", ["link", "show", network.record.link]).kind, "failed");
  removeNetwork(network.record);
  await probe.close();
});

test("over the hub packets arrive, late by what was asked for, and a cut cuts there as well", {
  timeout: 120_000,
}, async (context) => {
  if (isLeftOut(context)) return;
  const network = describeNetwork(takeSlot(), ["a", "b"]);
  const folder = mkdtempSync(join(tmpdir(), "holdfast-hub-"));
  const probes: Probe[] = [];
  let hub: ChildProcess | null = null;
  try {
    const links = { delay: 2000, jitter: 0, lossPercent: 0, rateMbit: 0 };
    hub = await makeDistantNetwork(network, links, join(folder, "hub.json"));
    for (const place of network.regions) probes.push(await startProbe(place));
    const [a, b] = probes;
    assert.ok(a && b);
    const sentAt = performance.now();
    await a.send(b.place, 50);
    let arrived = 0;
    let firstAfterMs = 0;
    while (arrived < 50) {
      const more = await b.take(a.place);
      if (arrived === 0 && more > 0) firstAfterMs = performance.now() - sentAt;
      arrived += more;
      assert.ok(performance.now() - sentAt < 60_000, `${arrived} of 50 arrived`);
    }
    assert.ok(2000 <= firstAfterMs, `the first was heard after ${firstAfterMs} ms`);
    swallow([{ from: a.place, to: b.place }], everything, longMs);
    await a.send(b.place, 50);
    await sleep(2500);
    assert.equal(await b.take(a.place), 0);
  } finally {
    for (const probe of probes) await probe.close();
    hub?.kill("SIGKILL");
    removeNetwork(network.record);
    rmSync(folder, { recursive: true });
  }
});

test("two networks at a time have slots and addresses of their own", { timeout: 60_000 }, async (context) => {
  if (isLeftOut(context)) return;
  const first = describeNetwork(takeSlot(), ["a"]);
  let second: ReturnType<typeof describeNetwork> | null = null;
  try {
    makeNetwork(first);
    second = describeNetwork(takeSlot(), ["a"]);
    makeNetwork(second);
    assert.notEqual(first.record.slot, second.record.slot);
    assert.notEqual(first.regions[0]?.address, second.regions[0]?.address);
  } finally {
    if (second) removeNetwork(second.record);
    removeNetwork(first.record);
  }
});
