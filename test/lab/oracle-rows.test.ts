/** Load, service, database and oracle together, with a kill -9 in the middle: and whether the oracle would have noticed. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startLoad } from "../../src/lab/load.ts";
import { monotonicMs } from "../../src/lab/monotonic.ts";
import { judgeRun } from "../../src/lab/oracle.ts";
import { readOrders } from "../../src/lab/oracle-rows.ts";
import { startPostgres } from "../examples/postgres.ts";
import { startService } from "../examples/service.ts";

test("kill -9 of the database under load: the oracle finds nothing lost or doubled, and notices when we lie", async () => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-oracle-"));
  try {
    await using postgres = await startPostgres();
    await postgres.beginEpoch(1, "pg-west");
    await using service = await startService({ REGION: "west", DATABASE_URL: postgres.url });
    await until("ready", async () => (await service.get("/readyz")).status === 200);

    await using load = startLoad({
      run: "rows",
      places: [{ name: "west", edges: [service.url] }],
      recordFile: join(folder, "record.json"),
      unsafeShare: 0.3,
    });
    const acknowledged = () => load.latest()?.totals.acknowledged ?? 0;
    await until("load", () => acknowledged() > 100);
    const killedAt = monotonicMs();
    await postgres.kill();
    await until("failures", () => (load.latest()?.totals.failed ?? 0) > 5);
    await postgres.start();
    const before = acknowledged();
    await until("recovery", () => acknowledged() > before + 100);
    const history = await load.stop();

    const judge = async () => {
      const stored = await readOrders(postgres.url, history.run);
      return judgeRun(history, stored, [{ name: "kill", at: killedAt, until: history.stoppedAt }]);
    };
    const found = await judge();
    assert.deepEqual(found.violations, []);
    // A machine that is too busy makes a poor drill, and a good enough test.
    assert.deepEqual(
      found.problems.filter((problem) => !problem.includes("too busy")),
      [],
    );
    assert.ok(found.orders.acknowledged > 200);
    assert.ok(found.requests.safeFailed > 0, "there is no edge here that would hold");
    const [window] = found.windows;
    assert.ok((window?.writeGapMs ?? 0) > 50 && window?.resumedAfterMs !== null, JSON.stringify(window));
    assert.deepEqual(
      found.writers.terms.map(({ member, epoch }) => [member, epoch]),
      [["pg-west", 1]],
    );

    await postgres.sql("DELETE FROM orders WHERE id IN (SELECT id FROM orders WHERE key IS NULL LIMIT 2)");
    await postgres.sql(
      `INSERT INTO orders (id, key, item, quantity, epoch, member, region)
       SELECT gen_random_uuid(), key, item, quantity, epoch, member, region FROM orders WHERE key IS NOT NULL LIMIT 3`,
    );
    const lied = await judge();
    // A row whose answer got lost in the kill may be among the two: then it counts as absent instead.
    assert.ok(lied.orders.lost >= 1);
    assert.equal(lied.orders.doubled, 3);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, `never: ${what}`);
    await sleep(20);
  }
}
