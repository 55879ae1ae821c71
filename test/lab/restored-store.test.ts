/** A control store that is restored from a backup of the same epoch: nobody is promoted by its older promise (N1). */
import assert from "node:assert/strict";
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openStore } from "../../src/adapters/adapters.ts";
import { dataStoreName, layOut } from "../../src/lab/layout.ts";
import { Observer, type Seen } from "../../src/lab/observer.ts";
import { untilRedundant } from "../../src/lab/rehearsal.ts";
import type { World } from "../../src/lab/world.ts";
import { eventually } from "./demo-process.ts";
import { compile, newWorld } from "./world.ts";

const published = ({ leases }: Seen): readonly string[] =>
  leases.get(dataStoreName)?.durable.standbys.map(({ member }) => member) ?? [];

async function end(world: World, region: string): Promise<void> {
  for (const one of world.of(region)) one.kill();
  await Promise.all(world.of(region).map((one) => one.gone()));
  await world.endPostgres(region);
}

test("a store restored within an epoch promotes nobody by an older promise, and the last primary leads again", {
  timeout: 300_000,
}, async () => {
  const root = mkdtempSync(join(tmpdir(), "holdfast-restored-"));
  // PostgreSQL runs as another user when we are root.
  chmodSync(root, 0o755);
  const layout = await layOut({
    root,
    profile: "balanced",
    witness: false,
    store: "embedded",
    rtoMs: 10_000,
  });
  const [west, central, north] = layout.regions.map(({ name }) => name) as [string, string, string];
  const topology = compile(layout);
  const world = newWorld(layout);
  const signal = AbortSignal.timeout(280_000);
  let observer: Observer | null = null;
  const watch = async () => new Observer(await openStore(topology, layout.secretsDir, 2000));
  try {
    await world.start(signal);
    observer = await watch();
    await untilRedundant(observer, topology, 120_000, signal);
    const before = observer.seen.leases.get(dataStoreName);
    assert.equal(before?.holder, "pg-west");

    // The promise of a moment: what is acknowledged is on pg-central, which waits for nobody else.
    await end(world, north);
    await observer.until(
      "pg-central alone",
      60_000,
      (seen) => published(seen).join() === "pg-central",
      signal,
    );
    const backup = join(root, "backup.db");
    using store = new DatabaseSync(layout.storeFile, { readOnly: true });
    store.exec(`VACUUM INTO '${backup}'`);
    store.close();

    // What is acknowledged from here on may be on pg-north alone.
    await world.returnRegion(north, signal);
    await untilRedundant(observer, topology, 120_000, signal);
    const { epoch, durable } = observer.seen.leases.get(dataStoreName) ?? {};
    assert.equal(epoch, before.epoch);
    const publication = durable?.publication ?? 0;
    assert.ok(publication > 0, JSON.stringify(durable));
    for (const { member } of layout.regions)
      await eventually(`${member?.name} remembers publication ${publication}`, 10_000, () => {
        const memory = JSON.parse(readFileSync(`${member?.dataDir}.holdfast/member.json`, "utf8"));
        return memory.floor === epoch && memory.publication === publication;
      });

    await observer.close();
    observer = null;
    await Promise.all([west, central, north].map((region) => end(world, region)));
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${layout.storeFile}${suffix}`, { force: true });
    copyFileSync(backup, layout.storeFile);
    await Promise.all([central, north].map((region) => world.startRegion(region, signal)));
    observer = await watch();
    const holds = new RegExp(
      `the store knows publication \\d+ of epoch ${epoch}, and a member remembers publication ${publication}`,
    );
    await observer.until(
      "pg-central holds",
      60_000,
      ({ agents }) => holds.test(agents.get(central)?.holding[dataStoreName] ?? ""),
      signal,
    );
    await sleep(3000);
    assert.equal(observer.seen.leases.get(dataStoreName)?.epoch, epoch);

    await world.startRegion(west, signal);
    await untilRedundant(observer, topology, 120_000, signal);
    const after = observer.seen.leases.get(dataStoreName);
    assert.ok(after && epoch < after.epoch);
    assert.equal(after.holder, "pg-west");
  } finally {
    await observer?.close();
    await world.close();
    rmSync(root, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
});
