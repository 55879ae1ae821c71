/** Real clients of a real world whose primary is killed under them: what they were told is one history that can be explained. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openStore } from "../../../src/adapters/adapters.ts";
import { endTree } from "../../../src/adapters/postgres/process-tree.ts";
import { loadTopology } from "../../../src/cli/topology-file.ts";
import { checkHistory } from "../../../src/lab/history/history.ts";
import { readHistoryFile } from "../../../src/lab/history/history-file.ts";
import type { History, Operation } from "../../../src/lab/history/operation.ts";
import { runWorkload } from "../../../src/lab/history/workload.ts";
import { Observer } from "../../../src/lab/observer.ts";
import { untilRedundant } from "../../../src/lab/rehearsal.ts";
import { DemoProcess } from "../demo-process.ts";

let demo: DemoProcess;
let observer: Observer;
let history: History;
const folder = mkdtempSync(join(tmpdir(), "hf-workload-"));
const historyFile = join(folder, "history.jsonl");

before(
  async () => {
    demo = await DemoProcess.start(["--no-load", "--profile", "balanced"]);
    const loaded = loadTopology(demo.state.topologyFile);
    assert.ok(loaded.kind === "valid");
    observer = new Observer(await openStore(loaded.topology, "", 2000));
    await untilRedundant(observer, loaded.topology, 90_000, AbortSignal.timeout(90_000));
  },
  { timeout: 240_000 },
);

after(
  async () => {
    rmSync(folder, { recursive: true, force: true });
    await observer?.close();
    await demo?.end();
  },
  { timeout: 60_000 },
);

test("the history of clients whose primary crashed is valid, and shows that it crashed", {
  timeout: 180_000,
}, async () => {
  const holder = observer.seen.leases.get("orders-db")?.holder;
  const dataDir =
    demo.state.members.find(({ name }) => name === holder)?.dataDir ?? assert.fail("no primary");
  const running = runWorkload({
    run: "crash",
    places: demo.state.regions.map(({ database }) => database),
    clients: 8,
    seed: 7,
    forMs: 6000,
    historyFile,
    signal: AbortSignal.timeout(150_000),
  });
  // The middle of the run, not a wait for something.
  await sleep(3000);
  await endTree({ dataDir, pidFile: `${dataDir}/postmaster.pid` }, AbortSignal.timeout(5000));
  const result = await running;
  history = result.history;
  assert.deepEqual(result.problems, []);

  const startedAt = performance.now();
  const verdict = checkHistory(history);
  const why = JSON.stringify(verdict, null, 2);
  console.log(`${why}\njudged in ${(performance.now() - startedAt).toFixed(0)} ms`);
  assert.equal(verdict.verdict, "valid", why);
  assert.deepEqual(verdict.checks.map(({ name }) => name).sort(), [
    "acknowledgements",
    "bank",
    "list",
    "register",
  ]);
  const acknowledged = history.operations.flatMap(({ outcome }) =>
    outcome.kind === "ok" ? [outcome.by] : [],
  );
  // Enough to prove something; how many there are in 6 s is the machine's affair (266 on a slow one).
  assert.ok(50 < acknowledged.length, why);
  const epochs = new Set(acknowledged.map((by) => by?.epoch));
  assert.ok(2 <= epochs.size, `acknowledged in the epochs ${[...epochs].join()}`);
});

test("its file tells the same history", () => {
  assert.deepEqual(readHistoryFile(historyFile), history);
});

test("the same history is invalid when an element that was acknowledged is taken out of the last looks", () => {
  const look = history.operations.findLast(
    ({ ask, outcome }) => ask.kind === "list" && outcome.kind === "ok",
  );
  const values = look?.outcome.kind === "ok" ? (look.outcome.told.values ?? []) : [];
  assert.ok(look && 0 < values.length);
  const without: Operation = {
    ...look,
    outcome: { kind: "ok", by: null, told: { values: values.slice(1) } },
  };
  const verdict = checkHistory({
    ...history,
    operations: history.operations.map((one) => (one === look ? without : one)),
  });
  assert.equal(verdict.verdict, "invalid");
  assert.ok(verdict.found["lost-write"] === 1 || verdict.found["split-order"], JSON.stringify(verdict.found));
});
