/** What an edge is told: all that the topology says of it, what a file says beside that, and nothing twice. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { writeEdgeConfig } from "../../src/agent/units.ts";
import { readConfig } from "../../src/edge/config.ts";
import { edit, exampleText, topologyOf } from "../core/spec/text.ts";

const stateDir = "  stateDir: ./state/edge-west";
const serving = [
  "processes: 2",
  'tls: { listen: "127.0.0.1:8443", certificates: [{ certFile: /tls/a.crt, keyFile: /tls/a.key }] }',
  "cache: true",
  "concurrency: { least: 4, most: 64 }",
  "trustedProxies: [10.0.0.0/8]",
].map((line) => `  ${line}`);
const three = exampleText("three-regions.yaml");
const secrets = { token: "a-token-for-tests-only", publicKeys: {} };

function written(text: string, clients: object) {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-units-"));
  try {
    const place = { topology: topologyOf(text), region: "eu-west", stateDir: folder };
    return readConfig(writeEdgeConfig(place, secrets, null, clients));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("an edge reads what its topology says of how it serves, and the defaults of the rest", () => {
  const config = written(edit(three, stateDir, [stateDir, ...serving].join("\n")), { graceMs: 1 });
  assert.equal(config.processes, 2);
  assert.deepEqual(config.tls, {
    listen: { host: "127.0.0.1", port: 8443 },
    certificates: [{ certFile: "/tls/a.crt", keyFile: "/tls/a.key" }],
    minVersion: "TLSv1.2",
    reloadEveryMs: 10_000,
  });
  assert.equal(config.cache, true);
  assert.deepEqual(config.concurrency, { least: 4, most: 64 });
  assert.deepEqual(config.trustedProxies, ["10.0.0.0/8"]);
  assert.equal(config.graceMs, 1);
});

test("a file may say what the topology does not", () => {
  const config = written(three, { processes: 3, cache: true });
  assert.equal(config.processes, 3);
  assert.equal(config.cache, true);
  assert.equal(config.tls, undefined);
});

test("what both say is refused by name", () => {
  const text = edit(three, stateDir, [stateDir, "  processes: 2"].join("\n"));
  assert.throws(
    () => written(text, { processes: 2 }),
    /^Error: processes of edge-west stands in the topology and/,
  );
});
