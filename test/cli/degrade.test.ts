/** `holdfast degrade` with a real agent and a real edge: from the command to the headers of an answer, and back by itself. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { findFreePorts } from "../../src/adapters/adapters.ts";
import type { StatusView } from "../../src/core/model/status.ts";
import { folder, until } from "../edge/parts/edges.ts";
import { startOrigin } from "../edge/parts/origins.ts";
import { writeOneRegion } from "./one-region.ts";
import { holdfast } from "./run.ts";

const cli = fileURLToPath(new URL("../../src/cli/cli.ts", import.meta.url));

test("a level is ordered, told to services and clients, shown, and ends by itself or when it is told to", async () => {
  const told: string[] = [];
  await using origin = await startOrigin((request, response) => {
    // The agent's probes come beside the edge.
    if (request.url === "/")
      told.push(`${request.headers["x-holdfast-level"]} ${request.headers["x-holdfast-flags"]}`);
    response.end("served");
  });
  using home = folder();
  const [agentPort, edgePort, adminPort] = await findFreePorts(3);
  writeOneRegion(home.path, {
    name: "degrade",
    leaseProfile: "fast",
    ports: { agent: agentPort, origin: origin.port, http: edgePort, admin: adminPort },
    orders: `  classes:
    - { name: crawlers, match: { header: { name: X-Crawler } }, priority: sheddable }
  levels:
    flags: { recommendations: true }
    steps:
      - { name: lean, flags: { recommendations: false }, classes: { crawlers: refuse } }
      - { name: read-only, mode: ro }
`,
  });
  const place = [
    "--topology",
    "holdfast.yaml",
    "--region",
    "west",
    "--secrets-dir",
    "secrets",
    "--state-dir",
    "state",
  ];
  const children: ChildProcess[] = [];
  const start = (command: readonly string[]) =>
    children.push(spawn(process.execPath, [cli, ...command, ...place], { cwd: home.path, stdio: "ignore" }));
  const run = (...args: readonly string[]) =>
    holdfast([...args, "--topology", "holdfast.yaml", "--token-file", "secrets/token"], {
      cwd: home.path,
      timeoutMs: 60_000,
    });
  const ask = (init: RequestInit = {}) => fetch(`http://127.0.0.1:${edgePort}/`, init);
  const levelTold = async () => (await ask().catch(() => null))?.headers.get("x-holdfast-level");
  try {
    start(["agent"]);
    start(["edge", "run"]);
    await until(async () => (await levelTold()) === "0", "the edge serves at level 0", 60_000);

    const ordered = await run("degrade", "orders", "--level", "1", "--reason", "eu-west is gone");
    assert.equal(ordered.code, 0, ordered.stderr);
    assert.match(ordered.stdout, /^orders is at level 1, until it is ended with --off$/m);
    await until(async () => (await levelTold()) === "1", "the edge goes by it", 10_000);
    assert.equal(told.at(-1), "1 recommendations=?0");
    assert.match(await (await ask({ headers: { "x-crawler": "1" } })).text(), /HOLDFAST_DEGRADED/);

    const shown = await run("status");
    assert.match(
      shown.stdout,
      /orders +rw, from west; level 1 of 2 \(lean\); level 1 ordered by \S+ until further notice: eu-west is gone/,
    );

    const readOnly = await run("degrade", "orders", "--level", "2", "--for", "3s", "--json");
    assert.equal(readOnly.code, 0, readOnly.stderr);
    assert.equal((JSON.parse(readOnly.stdout) as { order: { forMs: number } }).order.forMs, 3000);
    await until(async () => (await levelTold()) === "2", "the edge goes by it", 10_000);
    assert.match(await (await ask({ method: "POST" })).text(), /HOLDFAST_READ_ONLY/);
    await until(async () => (await levelTold()) === "0", "it ends by itself", 30_000);
    assert.equal((await ask({ method: "POST" })).status, 200);

    const off = await run("degrade", "orders", "--off");
    assert.match(off.stdout, /orders is at level 0: everything is on/);

    const incidents = await run("incidents");
    assert.match(incidents.stdout, /orders-level-1 +orders degraded to level 1 by \S+ \(ended\)/);
    const one = await run("incidents", "orders-level-2");
    assert.match(one.stdout, /ordered .* by \S+, for 3 s\n.*no reason was given\n.*its time was over/);
    const status = JSON.parse((await run("status", "--json")).stdout) as StatusView;
    assert.deepEqual([status.services[0]?.level, status.services[0]?.order], [0, null]);

    for (const [args, code, said] of [
      [
        ["degrade", "orders", "--level", "3"],
        3,
        /orders has no level 3; it has 0 \(everything\), 1 \(lean\), 2 \(read-only\)/,
      ],
      [["degrade", "order", "--level", "1"], 3, /no service order in topology degrade; there is: orders/],
      [["degrade", "orders"], 2, /--level N or --off/],
      [["degrade", "orders", "--level", "1", "--off"], 2, /one of them/],
      [["degrade", "orders", "--level", "x"], 2, /a number from 0 to 9/],
      [["degrade", "orders", "--level", "1", "--for", "soon"], 2, /a span such as/],
      [["degrade", "orders", "--off", "--for", "1m"], 2, /level 0 needs no end/],
    ] as const) {
      const refused = await run(...args);
      assert.match(refused.stderr, said);
      assert.equal(refused.code, code, `${args.join(" ")}: ${refused.stderr}`);
    }
  } finally {
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    }
  }
});
