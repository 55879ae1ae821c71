/** A member whose disk fails: what is not started on it, what is not taken for absent, and how it comes back (SCENARIOS 33). */
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { endTree } from "../../../src/adapters/postgres/process-tree.ts";
import { breakDisk, makeDisk, removeDisksBelow } from "../../../src/lab/net/disk.ts";
import { wrapPostgres } from "../../../src/lab/net/wall-clock.ts";
import type { Database } from "../../../src/ports/database.ts";
import { eventually, ok, within } from "../../contract/database.ts";
import { isLeftOut } from "../../lab/net/place-probe.ts";
import { installations, Lab } from "./lab.ts";

const [first] = await installations();
const binDir = (first as { binDir: string }).binDir;

function rejoin(database: Database, lab: Lab) {
  return database.rejoin({ upstream: lab.upstream("pg-a", 1), onProgress: () => undefined }, within(30_000));
}

/** PostgreSQL whose server ends with an I/O error as long as `broken` exists, and counts its starts in `starts`. */
function wrapServer(lab: Lab) {
  const place = join(lab.root, "server");
  const [broken, starts, guard] = ["broken", "starts", "guard"].map((name) => join(place, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(place);
  writeFileSync(starts, "");
  chmodSync(starts, 0o666);
  writeFileSync(
    guard,
    `#!/bin/sh
if [ "$2" != --version ] && [ -e ${broken} ]; then
  echo start >> ${starts}
  echo 'FATAL:  could not read file "base/1/1249": Input/output error'
  exit 1
fi
exec "$@"
`,
  );
  chmodSync(guard, 0o755);
  return { broken, starts, binDir: wrapPostgres(join(place, "bin"), binDir, [guard]) };
}

test("a server that ends with an I/O error is not started again and again, and its data stay where they are", {
  timeout: 120_000,
}, async () => {
  await using lab = await Lab.make(binDir, ["pg-a", "pg-b"]);
  const [, before] = await lab.cluster(0);
  assert.ok(before);
  ok(await before.end(within(5000)));
  await before.close();
  const server = wrapServer(lab);
  let at = 0;
  const clock = { now: () => at, wall: () => Date.now() };
  const database = await lab.open("pg-b", { binDir: server.binDir, clock });
  writeFileSync(server.broken, "");
  const { dataDir } = lab.member("pg-b");
  const said: string[] = [];
  for (; at < 4000; at += 400) {
    const outcome = await rejoin(database, lab);
    assert.notEqual(outcome.kind, "succeeded");
    if (outcome.kind !== "succeeded") said.push(outcome.because);
  }
  assert.equal(readFileSync(server.starts, "utf8"), "start\n", said.join("\n"));
  assert.match(said[0] ?? "", /Input\/output error/);
  for (const because of said.slice(1))
    assert.match(because, /disk of pg-b has failed.* tried again in \d s.*look at it/);
  assert.ok(existsSync(join(dataDir, "PG_VERSION")));
  rmSync(server.broken);
  at = 6000;
  assert.equal(ok(await rejoin(database, lab)).how, "started");
});

test("data that cannot be looked at are not absent: they are kept, whatever comes to their place", {
  timeout: 120_000,
}, async () => {
  await using lab = await Lab.make(binDir, ["pg-a", "pg-b"]);
  const [, database] = await lab.cluster(0);
  assert.ok(database);
  ok(await database.end(within(5000)));
  const version = join(lab.member("pg-b").dataDir, "PG_VERSION");
  renameSync(version, `${version}.was`);
  // Whoever asks for it is told ELOOP.
  symlinkSync("PG_VERSION", version);
  assert.equal((await database.inspect(1000)).state, "stopped");
  const { how, divergence } = ok(await rejoin(database, lab));
  assert.equal(how, "seeded");
  assert.ok(divergence);
  assert.ok(existsSync(join(divergence.keptIn, "PG_VERSION.was")));
});

test("a standby whose disk fails is not copied to, and streams again when the disk is well", {
  timeout: 180_000,
}, async (context) => {
  if (isLeftOut(context)) return;
  await using lab = await Lab.make(binDir, ["pg-a", "pg-b"]);
  const disk = join(lab.root, "pg-b");
  try {
    makeDisk(disk);
    const [, standby] = await lab.cluster(0);
    assert.ok(standby);
    const broken = breakDisk(disk, { kind: "disk-fails" }, 600_000);
    await eventually(standby, (seen) => seen.state !== "standby");
    // Its keeper does the same to one that does not answer.
    ok(await standby.end(within(10_000)));
    assert.equal((await standby.inspect(1000)).state, "stopped");
    for (let n = 0; n < 3; n++) {
      const outcome = await rejoin(standby, lab);
      assert.equal(outcome.kind, n === 0 ? "unknown" : "failed");
      if (n > 0) assert.match(outcome.because, /disk of pg-b has failed.* takes nothing now/);
    }
    await broken.end(within(60_000));
    for (const until = performance.now() + 30_000; (await rejoin(standby, lab)).kind !== "succeeded"; )
      assert.ok(performance.now() < until, "it does not come back");
    assert.equal((await standby.inspect(1000)).streaming, true);
  } finally {
    await endTree(lab.treePlace("pg-b"), within(10_000));
    removeDisksBelow(lab.root);
  }
});
