/** `holdfast edge run --clients`: what the topology says of an edge, and how its clients are served, in one process. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect } from "node:http2";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { freePort } from "../adapters/haproxy/place.ts";
import { makeCertificate } from "../edge/parts/certificates.ts";
import { folder } from "../edge/parts/edges.ts";
import { writeOneRegion } from "./one-region.ts";
import { holdfast } from "./run.ts";

const cli = fileURLToPath(new URL("../../src/cli/cli.ts", import.meta.url));

async function writeTopology(folder: string): Promise<void> {
  const [agent, origin, http, admin] = await Promise.all([1, 2, 3, 4].map(freePort));
  writeOneRegion(folder, {
    name: "clients",
    leaseProfile: "balanced",
    ports: { agent, origin, http, admin },
  });
}

const args = [
  ...["edge", "run", "--topology", "holdfast.yaml", "--region", "west", "--clients", "clients.json"],
  ...["--secrets-dir", "secrets", "--state-dir", "state"],
];

test("an edge of a topology serves clients as the file says", async () => {
  using home = folder();
  await writeTopology(home.path);
  const { certFile, keyFile, pem } = makeCertificate(home.path, "a", ["localhost"]);
  const listen = { host: "127.0.0.1", port: 0 };
  // What the topology says is the topology's.
  const clients = { name: "another", tls: { listen, certificates: [{ certFile, keyFile }] } };
  writeFileSync(join(home.path, "clients.json"), JSON.stringify(clients));
  const child = spawn(process.execPath, [cli, ...args], {
    cwd: home.path,
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [line] = (await once(createInterface(child.stdout), "line", {
      signal: AbortSignal.timeout(20_000),
    })) as [string];
    const { https } = JSON.parse(line) as { https: { port: number } };
    const session = connect(`https://localhost:${https.port}`, { ca: pem });
    assert.equal(await text(session.request({ ":path": "/.holdfast/livez" })), "ok\n");
    session.destroy();
  } finally {
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }
});

test("a file of clients that cannot be read, or is none, is refused by name", async () => {
  using home = folder();
  await writeTopology(home.path);
  const refused = async (content: string | null, said: RegExp) => {
    if (content !== null) writeFileSync(join(home.path, "clients.json"), content);
    const run = await holdfast(args, { cwd: home.path });
    assert.match(run.stderr, said);
    assert.notEqual(run.code, 0);
  };
  await refused(null, /cannot run an edge: clients\.json cannot be read: ENOENT/);
  await refused("[]", /cannot run an edge: clients\.json is no JSON object/);
  await refused('{"tsl": {}}', /HOLDFAST_EDGE_CONFIG: .*tsl/);
});
