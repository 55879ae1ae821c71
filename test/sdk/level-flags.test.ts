/** Degradation levels as flags, asked through OpenFeature's own server SDK. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { OpenFeature, type Provider, ProviderEvents } from "@openfeature/server-sdk";
import { levelFlags, runInContext } from "../../src/sdk/sdk.ts";

after(() => OpenFeature.close());

const levels = {
  0: { recommendations: true, search: "full", results: 50, limits: { images: 10 } },
  1: { recommendations: false, results: 20 },
  3: { search: "basic", limits: { images: 0 } },
};

async function openClient() {
  const flags = levelFlags(levels);
  const domain = randomUUID();
  // As a provider in OpenFeature's own words: this line is the proof that it is one.
  const provider: Provider = flags;
  await OpenFeature.setProviderAndWait(domain, provider);
  const client = OpenFeature.getClient(domain);
  const changes: (string[] | undefined)[] = [];
  client.addHandler(
    ProviderEvents.ConfigurationChanged,
    (details) => void changes.push(details?.flagsChanged),
  );
  return { flags, client, changes };
}

function edgeSays(told: { level: number; epoch?: number; generation?: number }): Record<string, string> {
  return Object.fromEntries(
    Object.entries(told).map(([name, value]) => [`x-holdfast-${name}`, String(value)]),
  );
}

test("F1: each request sees the flags of its own level, also side by side", async () => {
  const { client } = await openClient();
  const rows: readonly [number, boolean, string, number, number][] = [
    [0, true, "full", 50, 10],
    [1, false, "full", 20, 10],
    [2, false, "full", 20, 10],
    [3, false, "basic", 20, 0],
    [9, false, "basic", 20, 0],
  ];
  await Promise.all(
    rows.map(([level, recommendations, search, results, images]) =>
      runInContext(edgeSays({ level }), async () => {
        await sleep(5);
        assert.equal(
          await client.getBooleanValue("recommendations", true),
          recommendations,
          `level ${level}`,
        );
        assert.equal(await client.getStringValue("search", "none"), search);
        assert.equal(await client.getNumberValue("results", 1), results);
        assert.deepEqual(await client.getObjectValue("limits", {}), { images });
        assert.equal((await client.getStringDetails("search", "none")).variant, `level-${level}`);
      }),
    ),
  );
});

test("an unknown flag and one of another type give the caller's default, and say why", async () => {
  const { client } = await openClient();
  const unknown = await client.getBooleanDetails("nobody", true);
  assert.deepEqual([unknown.value, unknown.errorCode], [true, "FLAG_NOT_FOUND"]);
  const mistyped = await client.getBooleanDetails("search", true);
  assert.deepEqual([mistyped.value, mistyped.errorCode], [true, "TYPE_MISMATCH"]);
});

test("a change of level is an event that names the flags that changed, once", async () => {
  const { flags, client, changes } = await openClient();
  for (let request = 0; request < 3; request++) runInContext(edgeSays({ level: 1 }), () => undefined);
  assert.equal(flags.level, 1);
  assert.equal(await client.getBooleanValue("recommendations", true), false);
  runInContext(edgeSays({ level: 2 }), () => undefined);
  flags.setLevel(3);
  flags.setLevel(0);
  assert.deepEqual(changes, [
    ["recommendations", "results"],
    ["search", "limits"],
    ["recommendations", "search", "results", "limits"],
  ]);
});

test("F3: what an edge with an older table says does not bring an older level back", async () => {
  const { flags, changes } = await openClient();
  const rows: readonly [number, number, number, number][] = [
    [1, 10, 1, 1],
    [1, 9, 0, 1],
    [1, 11, 0, 0],
    [2, 1, 3, 3],
    [1, 12, 0, 3],
  ];
  for (const [epoch, generation, level, expected] of rows) {
    runInContext(edgeSays({ epoch, generation, level }), () => undefined);
    assert.equal(flags.level, expected, `${epoch} ${generation}`);
  }
  assert.equal(changes.length, 3);
});

test("F4: features that the topology names are on or off as the edge says, the others as the service lists them", async () => {
  const { client, changes } = await openClient();
  const told = { ...edgeSays({ level: 1 }), "x-holdfast-flags": "recommendations=?1, search=?0, lite=?1" };
  await runInContext(told, async () => {
    assert.equal(await client.getBooleanValue("recommendations", false), true);
    assert.equal(await client.getBooleanValue("lite", false), true);
    // Listed as a text: on or off is not what is asked for.
    assert.equal(await client.getStringValue("search", "none"), "full");
    assert.equal(await client.getBooleanValue("search", true), false);
    assert.equal((await client.getStringDetails("lite", "none")).errorCode, "TYPE_MISMATCH");
  });
  // Outside of requests: as was heard last.
  assert.equal(await client.getBooleanValue("lite", false), true);
  assert.deepEqual(changes, [["search", "results", "lite"]]);
  runInContext({ ...edgeSays({ level: 1 }), "x-holdfast-flags": "lite=?0" }, () => undefined);
  assert.equal(await client.getBooleanValue("lite", true), false);
  assert.deepEqual(changes[1], ["recommendations", "search", "lite"]);
});

test("without levels of its own a service has the features of the topology", async () => {
  const domain = randomUUID();
  await OpenFeature.setProviderAndWait(domain, levelFlags());
  const client = OpenFeature.getClient(domain);
  assert.equal(await client.getBooleanValue("lite", true), true);
  await runInContext({ "x-holdfast-level": "0", "x-holdfast-flags": "lite=?0" }, async () =>
    assert.equal(await client.getBooleanValue("lite", true), false),
  );
});

test("flags that no edge would write are no flags", async () => {
  const { client } = await openClient();
  for (const wrong of ["lite=1", "LITE=?1", "lite=?1;", "lite=?2", ",", "a b"])
    await runInContext({ "x-holdfast-level": "0", "x-holdfast-flags": wrong }, async () =>
      assert.equal((await client.getBooleanDetails("lite", true)).errorCode, "FLAG_NOT_FOUND", wrong),
    );
});

test("a provider that was replaced hears no more", async () => {
  const { flags, changes } = await openClient();
  await flags.onClose();
  runInContext(edgeSays({ level: 3 }), () => undefined);
  assert.deepEqual([flags.level, changes.length], [0, 0]);
});

test("levels that are none are refused", () => {
  for (const wrong of [{ [-1]: {} }, { 1.5: {} }, { 101: {} }, { high: {} } as never])
    assert.throws(() => levelFlags(wrong), RangeError);
  assert.throws(() => levelFlags({}).setLevel(-1), RangeError);
});
