/** Tables at an edge: only greater ones, only signed ones, never empty, and from disk when nobody else lives. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { EdgeRouter } from "../../src/adapters/edge/edge-router.ts";
import { signTable } from "../../src/edge/signature.ts";
import { edgeConfig, folder, startHere, startProcess, until } from "./parts/edges.ts";
import { startOrigin } from "./parts/origins.ts";
import { adminToken, keyId, service, signed, table, target } from "./parts/tables.ts";

const services = (port: number) => ({ orders: service([target("west", port)]) });

test("a table with a forged signature, or by an unknown key, changes nothing and is counted", async () => {
  using state = folder();
  await using edge = await startHere(edgeConfig(state.path));
  const stranger = generateKeyPairSync("ed25519").privateKey.export({
    type: "pkcs8",
    format: "pem",
  }) as string;
  const plain = table(1, { services: services(1) });
  assert.equal((await edge.apply(signTable(plain, keyId, stranger))).kind, "refused");
  assert.equal((await edge.apply(signTable(plain, "stranger", stranger))).kind, "refused");
  const tampered = { ...signed(plain), table: { ...plain, generation: 9 } };
  assert.match((await edge.apply(tampered)).because ?? "", /does not fit the table/);
  assert.match(await edge.metrics(), /tables_total\{outcome="refused",reason="signature"\} 3/);
  // The disk takes a table while it is looked at: of one that is refused nothing stays there.
  assert.deepEqual(readdirSync(join(state.path, "tables")), []);
  assert.equal((await edge.apply(signed(plain))).kind, "applied");
  assert.equal((await edge.apply(signed(plain))).kind, "unchanged");
  assert.equal(readdirSync(join(state.path, "tables")).length, 1);
});

test("what is no table is refused by its shape, also where there is none yet", async () => {
  using state = folder();
  await using edge = await startHere(edgeConfig(state.path));
  const headers = { authorization: `Bearer ${adminToken}` };
  for (const body of ["", "{", "[]", "\u0000", "null"]) {
    const answer = await fetch(`${edge.admin}/v1/table`, { method: "POST", headers, body });
    assert.equal(answer.status, 409, JSON.stringify(body));
    assert.equal(((await answer.json()) as { kind: string }).kind, "refused");
  }
});

test("an edge started again with nobody alive serves at once from disk, with the highest table it had", async () => {
  using state = folder();
  await using west = await startOrigin((_request, response) => response.end("served"));
  const first = await startProcess(edgeConfig(state.path));
  for (const generation of [1, 2, 3, 4, 5, 6, 7])
    assert.equal(
      (await first.apply(signed(table(generation, { services: services(west.port) })))).kind,
      "applied",
    );
  await first[Symbol.asyncDispose]();
  assert.equal(readdirSync(join(state.path, "tables")).length, 5);

  await using again = await startProcess(edgeConfig(state.path));
  const answer = await fetch(again.http);
  assert.equal(await answer.text(), "served");
  assert.equal(answer.headers.get("x-holdfast-generation"), "7");
  assert.equal((await again.apply(signed(table(6, { services: services(west.port) })))).kind, "refused");
});

test("what an edge that was killed was writing is gone when it is started again, and nothing else is", async () => {
  using state = folder();
  await using west = await startOrigin((_request, response) => response.end("served"));
  const first = await startHere(edgeConfig(state.path));
  await first.apply(signed(table(1, { services: services(west.port) })));
  await first[Symbol.asyncDispose]();
  for (const place of ["tables", "evacuate"]) {
    mkdirSync(join(state.path, place), { recursive: true });
    writeFileSync(join(state.path, place, "4711-0.tmp"), '{"table":');
    writeFileSync(join(state.path, place, "notes.txt"), "somebody's own");
  }
  const [kept = ""] = readdirSync(join(state.path, "tables")).filter((name) => name.endsWith(".json"));

  await using again = await startHere(edgeConfig(state.path));
  assert.equal(await (await fetch(again.http)).text(), "served");
  assert.deepEqual(readdirSync(join(state.path, "tables")).sort(), ["notes.txt", kept]);
  assert.deepEqual(readdirSync(join(state.path, "evacuate")), ["notes.txt"]);
});

test("a newest table that is broken on disk gives way to the one before", async () => {
  using state = folder();
  await using west = await startOrigin((_request, response) => response.end("served"));
  const first = await startHere(edgeConfig(state.path));
  await first.apply(signed(table(1, { services: services(west.port) })));
  await first.apply(signed(table(2, { services: services(west.port) })));
  await first[Symbol.asyncDispose]();
  const [, newest] = readdirSync(join(state.path, "tables")).sort();
  // As a power cut may leave it: FACTS, "The lab".
  writeFileSync(join(state.path, "tables", newest as string), "\0".repeat(100));
  await using again = await startHere(edgeConfig(state.path));
  assert.equal((await fetch(again.http)).headers.get("x-holdfast-generation"), "1");
});

test("an evacuation that lies ready works with nothing else alive, until a newer table makes it void", async () => {
  using state = folder();
  await using west = await startOrigin((_request, response) => response.end("west"));
  await using central = await startOrigin((_request, response) => response.end("central"));
  await using edge = await startHere(edgeConfig(state.path));
  const url = new URL(edge.admin);
  const router = new EdgeRouter({ admin: { host: url.hostname, port: Number(url.port) }, token: adminToken });
  const soon = () => AbortSignal.timeout(1000);
  try {
    const route = service([target("west", west.port), target("central", central.port)]);
    const evacuation = (generation: number) =>
      signed(
        table(generation, {
          services: { orders: route },
          regions: { west: "drained", central: "active", east: "standby" },
        }),
      );
    await router.apply(signed(table(1, { services: { orders: route } })), soon());
    assert.equal((await router.evacuate("west", soon())).kind, "refused");
    assert.equal((await router.prepareEvacuation("west", evacuation(2), soon())).kind, "applied");
    assert.equal((await router.prepareEvacuation("east", evacuation(2), soon())).kind, "refused");
    assert.equal(await (await fetch(edge.http)).text(), "west");
    assert.equal((await router.evacuate("west", soon())).kind, "applied");
    assert.equal(await (await fetch(edge.http)).text(), "central");
    await router.apply(signed(table(3, { services: { orders: route } })), soon());
    assert.equal((await router.evacuate("west", soon())).kind, "refused");
  } finally {
    await router.close();
  }
});

test("requests in flight are finished at SIGTERM, and the process ends with 0", async () => {
  using state = folder();
  let finish: (() => void) | null = null;
  await using west = await startOrigin((_request, response) => {
    finish = () => response.end("finished");
  });
  await using edge = await startProcess(edgeConfig(state.path));
  await edge.apply(signed(table(1, { services: services(west.port) })));
  // The try timeout of these rules is 500 ms: long enough for this.
  const answer = fetch(edge.http);
  await until(() => finish !== null, "the request is under way");
  const exited = new Promise((resolve) => edge.child.once("exit", resolve));
  edge.child.kill("SIGTERM");
  await until(
    async () =>
      !(await fetch(`${edge.http}/.holdfast/livez`).then(
        () => true,
        () => false,
      )),
    "no longer listening",
  );
  finish!();
  assert.equal(await (await answer).text(), "finished");
  assert.equal(await exited, 0);
});

test("a port in use is named, and ends the process with 1", async () => {
  using state = folder();
  await using taken = await startOrigin((_request, response) => response.end());
  const { spawnSync } = await import("node:child_process");
  const config = edgeConfig(state.path, { http: { host: "127.0.0.1", port: taken.port } });
  writeFileSync(join(state.path, "edge.json"), JSON.stringify(config));
  // Not blocking the server: nobody asks it anything.
  const run = spawnSync(process.execPath, ["src/edge/main.ts", "--config", join(state.path, "edge.json")], {
    encoding: "utf8",
  });
  assert.equal(run.status, 1);
  assert.match(run.stderr, new RegExp(`HOLDFAST_LISTEN: cannot listen on 127.0.0.1:${taken.port} for http`));
});

test("the admin listener tells nothing to who has no token", async () => {
  using state = folder();
  await using edge = await startHere(edgeConfig(state.path));
  for (const path of ["/v1/table", "/v1/state"]) {
    assert.equal((await fetch(`${edge.admin}${path}`)).status, 401);
    const wrong = { authorization: "Bearer wrong" };
    assert.equal((await fetch(`${edge.admin}${path}`, { headers: wrong })).status, 401);
  }
});
