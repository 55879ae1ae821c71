/** With no control plane at all: what served goes on serving, unchanged, and an edge that restarts serves from its disk (P7, R4). */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Pool } from "undici";
import { freePort } from "../adapters/haproxy/place.ts";
import { edgeConfig, folder, startProcess, until } from "./parts/edges.ts";
import { startOrigin } from "./parts/origins.ts";
import { rules, service, signed, table, target } from "./parts/tables.ts";

const control = fileURLToPath(new URL("./parts/control-plane.ts", import.meta.url));

/** A control plane of one process: it hands a table to the edge over and over, until it is killed. */
async function startControlPlane(admin: string, generation: number, ports: readonly number[]) {
  const child = spawn(process.execPath, [control, admin], { stdio: ["pipe", "pipe", "inherit"] });
  const targets = [target("west", ports[0] as number), target("central", ports[1] as number)];
  // What an agent would go on to say if it were believed for ever: a lease of a second would have run out in this test.
  const impatient = { ...rules, ttlMs: 100, tryTimeoutMs: 5000 };
  const routes = { orders: service(targets, { rules: impatient }) };
  child.stdin.end(JSON.stringify(signed(table(generation, { services: routes }))));
  await once(child.stdout, "data");
  return {
    kill: async () => {
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

test("the control plane is killed for the whole run: nothing that clients see changes", async () => {
  await using west = await startOrigin((_request, response) => response.end("west"));
  await using central = await startOrigin((_request, response) => response.end("central"));
  using state = folder();
  await using edge = await startProcess(edgeConfig(state.path));
  const controlPlane = await startControlPlane(edge.admin, 7, [west.port, central.port]);
  await controlPlane.kill();
  const kept = () =>
    readdirSync(join(state.path, "tables"))
      .sort()
      .map((name) => [name, readFileSync(join(state.path, "tables", name), "utf8")]);
  const before = kept();
  const pool = new Pool(edge.http, { connections: 8 });
  const answers = new Map<string, number>();
  const until_ = performance.now() + 3000;
  try {
    await Promise.all(
      Array.from({ length: 8 }, async (_, n) => {
        while (performance.now() < until_) {
          const answer = await pool.request({ path: "/", method: n % 2 === 0 ? "GET" : "PUT" });
          const { "x-holdfast-region": region, "x-holdfast-generation": generation } = answer.headers;
          const seen = `${answer.statusCode} ${await answer.body.text()} ${region} ${generation}`;
          answers.set(seen, (answers.get(seen) ?? 0) + 1);
        }
      }),
    );
  } finally {
    await pool.close();
  }
  assert.deepEqual([...answers.keys()], ["200 west west 7"]);
  assert.ok((answers.get("200 west west 7") ?? 0) > 50, "the load flowed");
  assert.deepEqual(kept(), before, "what lies on disk did not change either");
  // And it is not frozen: what an edge decides by itself, it still does.
  await west[Symbol.asyncDispose]();
  await until(async () => (await (await fetch(edge.http)).text()) === "central", "reads go elsewhere");
});

test("an edge restarted with no control plane serves from its disk", async () => {
  await using west = await startOrigin((_request, response) => response.end("west"));
  await using central = await startOrigin((_request, response) => response.end("central"));
  using state = folder();
  const http = { host: "127.0.0.1", port: await freePort() };
  const config = edgeConfig(state.path, { http });
  const first = await startProcess(config);
  const controlPlane = await startControlPlane(first.admin, 9, [west.port, central.port]);
  await controlPlane.kill();
  await first[Symbol.asyncDispose]();

  await using _again = await startProcess(config);
  const answer = await fetch(`http://127.0.0.1:${http.port}/`);
  assert.equal(await answer.text(), "west");
  assert.equal(answer.headers.get("x-holdfast-generation"), "9");
});
