/** `holdfast routers` before a real agent with a real edge and a real HAProxy of one region. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { RuntimeSocket } from "../../src/adapters/haproxy/runtime-socket.ts";
import { AgentClient } from "../../src/adapters/http/agent-client.ts";
import { findFreePorts } from "../../src/adapters/system/free-port.ts";
import type { PlaneView, RoutersView } from "../../src/core/model/plane.ts";
import { skip } from "../adapters/haproxy/place.ts";
import { folder, until } from "../edge/parts/edges.ts";
import { startOrigin } from "../edge/parts/origins.ts";
import { writeOneRegion } from "./one-region.ts";
import { holdfast } from "./run.ts";

const cli = fileURLToPath(new URL("../../src/cli/cli.ts", import.meta.url));

interface Listed {
  readonly newest: { readonly generation: number } | null;
  readonly regions: readonly { readonly region: string; readonly view: RoutersView | null }[];
}

test("lists both data planes of a region, and tells by its exit code when one does not go by the table", {
  skip,
}, async () => {
  await using origin = await startOrigin((_request, response) => response.end("west"));
  using home = folder();
  const [agentPort, edgePort, adminPort, haproxyPort] = await findFreePorts(4);
  writeOneRegion(home.path, {
    name: "routers",
    leaseProfile: "fast",
    ports: { agent: agentPort, origin: origin.port, http: edgePort, admin: adminPort },
    more: `---
apiVersion: holdfast/v1
kind: Router
metadata: { name: haproxy-west }
spec: { region: west, plane: { haproxy: { http: "127.0.0.1:${haproxyPort}", stateDir: haproxy } } }
`,
  });
  const place = ["--topology", "holdfast.yaml", "--region", "west"];
  const files = [...place, "--secrets-dir", "secrets", "--state-dir", "state"];
  const children: ChildProcess[] = [];
  const start = (command: string, args: readonly string[]) => {
    const child = spawn(command, args, { cwd: home.path, stdio: "ignore" });
    children.push(child);
    return child;
  };
  const list = async () => {
    const run = await holdfast(
      ["routers", "--topology", "holdfast.yaml", "--token-file", "secrets/token", "--json"],
      { cwd: home.path, timeoutMs: 60_000 },
    );
    const listed = (run.stdout === "" ? null : JSON.parse(run.stdout)) as Listed | null;
    const planes: readonly PlaneView[] = listed?.regions[0]?.view?.planes ?? [];
    return { code: run.code, planes, states: planes.map(({ state }) => state).join(), listed };
  };
  /** null: the agent does not answer yet. */
  const look = async (): Promise<RoutersView | null> => {
    const tokenFile = join(home.path, "secrets/token");
    if (!existsSync(tokenFile)) return null;
    const address = { host: "127.0.0.1", port: agentPort as number };
    const client = new AgentClient({ address, token: readFileSync(tokenFile, "utf8").trim() });
    try {
      return await client.routers();
    } catch {
      return null;
    } finally {
      await client.close();
    }
  };
  const states = async () => (await look())?.planes.map(({ state }) => state).join();
  try {
    const written = await holdfast(["routers", "config", ...place], { cwd: home.path, timeoutMs: 60_000 });
    assert.equal(written.code, 0, written.stderr);
    assert.match(written.stdout, /haproxy-west: .*haproxy\.cfg is written; start HAProxy with it/);
    start(process.execPath, [cli, "agent", ...files]);
    start(process.execPath, [cli, "edge", "run", ...files]);
    const haproxy = start("haproxy", ["-db", "-f", "haproxy/haproxy.cfg"]);
    await until(async () => (await states()) === "current,current", "both go by the table", 60_000);
    const { code, planes, listed } = await list();
    assert.equal(code, 0);
    assert.deepEqual(
      planes.map(({ name, kind, table }) => [name, kind, table?.generation]),
      [
        ["edge-west", "edge", listed?.newest?.generation],
        ["haproxy-west", "haproxy", listed?.newest?.generation],
      ],
    );
    for (const port of [edgePort, haproxyPort])
      assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), "west");
    assert.equal(planes[0]?.abilities.hold.can, "yes");
    assert.equal(planes[1]?.abilities.hold.can, "no");

    // Somebody's hand is found and mended, by the agent, with nobody to ask it to.
    const socket = new RuntimeSocket(join(home.path, "haproxy/haproxy.sock"));
    await socket.order("set server service-orders/west-1 state maint", AbortSignal.timeout(2000));
    await until(async () => (await look())?.planes[1]?.mended === 1, "it is put right", 60_000);

    const gone = once(haproxy, "exit");
    haproxy.kill("SIGKILL");
    await gone;
    const without = await list();
    assert.deepEqual([without.code, without.states], [1, "current,unreachable"]);
  } finally {
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    }
  }
});
