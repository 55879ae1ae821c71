/** A real HAProxy for tests: started as its generated configuration says, killed at the end. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { type HaproxyLayout, socketPathOf } from "../../../src/adapters/haproxy/layout.ts";
import { configPathOf } from "../../../src/adapters/haproxy/prepare.ts";
import { RuntimeSocket } from "../../../src/adapters/haproxy/runtime-socket.ts";
import { until } from "../../edge/parts/edges.ts";

/** Said aloud in the test report; false: run. */
export const skip =
  spawnSync("haproxy", ["-v"]).error !== undefined &&
  "haproxy is not installed: run scripts/install-test-parts.sh";

/** Resolves when it answers on its socket. */
export async function startHaproxy(layout: HaproxyLayout): Promise<AsyncDisposable> {
  const child = spawn("haproxy", ["-db", "-f", configPathOf(layout)], { stdio: "ignore" });
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  };
  const socket = new RuntimeSocket(socketPathOf(layout));
  const answers = () => socket.ask("show info", AbortSignal.timeout(1000)).then(Boolean, () => false);
  try {
    await until(
      async () => child.exitCode !== null || (await answers()),
      "HAProxy answers on its socket",
      30_000,
    );
    assert.equal(child.exitCode, null, "HAProxy does not start with its configuration");
  } catch (error) {
    await stop();
    throw error;
  }
  return { [Symbol.asyncDispose]: stop };
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
