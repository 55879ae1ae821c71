/** The fencer against real PostgreSQL under load: no commit is acknowledged after the deadline, and nothing is left. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FencerClient } from "../../src/adapters/fencer/fencer-client.ts";
import { findTree } from "../../src/adapters/postgres/process-tree.ts";
import { installations, Lab } from "../adapters/postgres/lab.ts";
import { ok, within } from "../contract/database.ts";
import { until } from "./fake-member.ts";
import { startFencer } from "./fencer-process.ts";

const now = () => Number(process.hrtime.bigint()) / 1e6;

test("a busy primary acknowledges nothing after its deadline + 50 ms, and loses nothing that it acknowledged", async (t) => {
  const [installation] = await installations();
  const lab = await Lab.make(installation?.binDir as string, ["pg-a"]);
  t.after(() => lab[Symbol.asyncDispose]());
  const place = lab.treePlace("pg-a");
  const fencer = await startFencer(lab.root, place);
  const client = new FencerClient({ socketPath: fencer.socket });
  t.after(async () => {
    await client.close();
    await fencer.end("SIGKILL");
  });
  const database = await lab.open("pg-a");
  ok(await database.initialize({ epoch: 1 }, within(60_000)));
  const first = now() + 4_000;
  assert.equal(await client.pet({ epoch: 1, deadline: first }), true);
  ok(await database.promote({ epoch: 1, acknowledgements: 0, standbys: [] }, within(10_000)));

  const acknowledged = new Set<string>();
  let lastAt = 0;
  const writers = [await lab.writer("pg-a")];
  while (writers.length < 4) writers.push(await lab.writer("pg-a"));
  const deadline = first + 500;
  assert.equal(await client.pet({ epoch: 1, deadline }), true);
  const work = writers.map(async (writer, w) => {
    try {
      for (let n = 0; ; n += 1) {
        await writer.write(`${w}-${n}`);
        lastAt = now();
        acknowledged.add(`${w}-${n}`);
      }
    } catch {
      writer.close();
    }
  });
  await until(() => findTree(place).length === 0, 15_000, "PostgreSQL is gone");
  await Promise.all(work);
  assert.ok(100 < acknowledged.size, `${acknowledged.size} writes`);
  assert.ok(lastAt < deadline + 50, `acknowledged ${(lastAt - deadline).toFixed(1)} ms after the deadline`);
  t.diagnostic(
    `${acknowledged.size} writes, the last ${(lastAt - deadline).toFixed(1)} ms relative to the deadline`,
  );
  assert.equal(await client.pet({ epoch: 1, deadline: now() + 5_000 }), false);

  // Whoever starts it in the burnt epoch has it ended again; after a disarm it may be a standby.
  assert.equal(await client.disarm({ epoch: 1 }), true);
  ok(await database.startSealed({ basis: 1 }, within(20_000)));
  const reader = await lab.client("pg-a");
  const { rows } = await reader.query<{ key: string }>("select key from written");
  await reader.end();
  const kept = new Set(rows.map((row) => row.key));
  assert.deepEqual(
    [...acknowledged].filter((key) => !kept.has(key)),
    [],
  );
});
