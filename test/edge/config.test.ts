/** The configuration of an edge: its defaults stand in the reference, and what does not fit is named. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readConfig } from "../../src/edge/config.ts";
import { folder } from "./parts/edges.ts";

const anyPort = { host: "127.0.0.1", port: 0 };
const least = {
  name: "edge-west",
  region: "west",
  http: anyPort,
  admin: anyPort,
  stateDir: "state",
  keys: {},
  adminToken: "a-token-for-tests-only",
};
const tls = { listen: anyPort, certificates: [{ certFile: "a.crt", keyFile: "a.key" }] };
const accessLog = { file: "-" };

function read(config: object) {
  using place = folder();
  const file = join(place.path, "edge.json");
  writeFileSync(file, JSON.stringify(config));
  return readConfig(file);
}

test("every field and its default stand in docs/reference/edge.md", () => {
  const reference = readFileSync(new URL("../../docs/reference/edge.md", import.meta.url), "utf8");
  const given = { ...least, tls, accessLog };
  const all = read(given) as Readonly<Record<string, unknown>>;
  const missing: string[] = [];
  const look = (value: unknown, asGiven: unknown, path: string): void => {
    const isGroup =
      typeof value === "object" && value !== null && !Array.isArray(value) && !("port" in value);
    if (isGroup && path !== "keys") {
      for (const [name, inner] of Object.entries(value)) {
        const before = (asGiven as Readonly<Record<string, unknown>> | undefined)?.[name];
        // The table of the limits is headed by their name.
        look(inner, before, path === "" || path === "limits" ? name : `${path}.${name}`);
      }
      return;
    }
    const shown = typeof value === "string" ? value : JSON.stringify(value);
    const texts =
      asGiven === undefined && path !== "tcp" && path !== "gates"
        ? [`\`${path}\` (${shown})`, `\`${path}\` (\`${shown}\`)`]
        : [`\`${path}\``, `\`${path.split(".").pop()}\``];
    if (!texts.some((text) => reference.includes(text))) missing.push(texts[0] as string);
  };
  look(all, given, "");
  assert.deepEqual(missing, []);
});

test("what does not fit is refused by name", () => {
  const check = (more: object, said: RegExp) => assert.throws(() => read({ ...least, ...more }), said);
  check({ tls: { ...tls, certificates: [] } }, /tls\.certificates: /);
  check({ tls: { ...tls, minVersion: "TLSv1.1" } }, /tls\.minVersion: /);
  check({ tls: { listen: anyPort } }, /tls\.certificates: /);
  check({ https: tls }, /https/);
  check({ trustedProxies: ["10.0.0.0/33"] }, /trustedProxies\.0: neither an address nor a network/);
  check({ trustedProxies: ["balancer"] }, /trustedProxies\.0: neither an address nor a network/);
  check({ accessLog: { file: "-", bufferMaxBytes: 1 } }, /accessLog\.bufferMaxBytes: /);
  check({ http2: { streamsMax: 0 } }, /http2\.streamsMax: /);
  check({ connectionsMax: 0 }, /connectionsMax: /);
  check({ limits: { quietForMs: -1 } }, /limits\.quietForMs: /);
});
