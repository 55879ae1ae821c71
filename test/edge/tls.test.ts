/** Clients over TLS: which certificate they see, and that a change of it is noticed by nobody who is connected. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { connect as connectTcp } from "node:net";
import type { Readable } from "node:stream";
import { test } from "node:test";
import { connect, type SecureVersion, type TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { type MadeCertificate, makeCertificate } from "./parts/certificates.ts";
import { edgeConfig, folder, startHere, startProcess, type TestEdge, until } from "./parts/edges.ts";
import { startOrigin } from "./parts/origins.ts";
import { service, signed, table, target } from "./parts/tables.ts";

const listenAnywhere = { host: "127.0.0.1", port: 0 };

function tlsOf(...certificates: readonly MadeCertificate[]) {
  return {
    listen: listenAnywhere,
    certificates: certificates.map(({ certFile, keyFile }) => ({ certFile, keyFile })),
    minVersion: "TLSv1.2" as const,
    reloadEveryMs: 60_000,
  };
}

async function handshake(
  edge: TestEdge,
  servername: string,
  version: SecureVersion = "TLSv1.3",
): Promise<TLSSocket> {
  const socket = connect({
    host: "127.0.0.1",
    port: Number(new URL(edge.https).port),
    servername,
    minVersion: version === "TLSv1.1" ? "TLSv1" : version,
    maxVersion: version,
    ciphers: "DEFAULT:@SECLEVEL=0",
    rejectUnauthorized: false,
    ALPNProtocols: ["h2", "http/1.1"],
  });
  await once(socket, "secureConnect");
  return socket;
}

async function shownFor(edge: TestEdge, servername: string): Promise<string> {
  const socket = await handshake(edge, servername);
  const names = socket.getPeerCertificate().subjectaltname ?? "";
  socket.destroy();
  return names;
}

async function startWith(state: string, certificates: readonly MadeCertificate[]) {
  const origin = await startOrigin((incoming, response) => {
    response.end(`${incoming.headers["x-forwarded-proto"]} ${incoming.headers.forwarded}`);
  });
  const edge = await startHere(edgeConfig(state, { tls: tlsOf(...certificates) }));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", origin.port)]) } })));
  return {
    edge,
    [Symbol.asyncDispose]: async () => {
      await edge[Symbol.asyncDispose]();
      await origin[Symbol.asyncDispose]();
    },
  };
}

test("curl is served over TLS by HTTP/2 and by HTTP/1.1, and services hear that it was https", async () => {
  using state = folder();
  const made = makeCertificate(state.path, "orders", ["orders.example"]);
  await using it = await startWith(state.path, [made]);
  const { port } = new URL(it.edge.https);
  const curl = async (...how: readonly string[]) => {
    const where = ["--resolve", `orders.example:${port}:127.0.0.1`, "--cacert", made.certFile];
    const out = ["-sS", "--max-time", "5", "-w", "\n%{http_version} %{http_code}"];
    const { stdout } = await promisify(execFile)("curl", [
      ...[...how, ...where, ...out],
      `https://orders.example:${port}/a`,
    ]);
    return stdout;
  };
  const said = `https for=127.0.0.1;host="orders.example:${port}";proto=https\n`;
  assert.equal(await curl("--http2"), `${said}2 200`);
  assert.equal(await curl("--http1.1"), `${said}1.1 200`);
});

test("each name has its certificate, wildcards too, and an unknown name the first", async () => {
  using state = folder();
  await using it = await startWith(state.path, [
    makeCertificate(state.path, "a", ["a.example"]),
    makeCertificate(state.path, "b", ["b.example", "*.shops.example"]),
  ]);
  assert.equal(await shownFor(it.edge, "a.example"), "DNS:a.example");
  assert.equal(await shownFor(it.edge, "b.example"), "DNS:b.example, DNS:*.shops.example");
  assert.equal(await shownFor(it.edge, "one.shops.example"), "DNS:b.example, DNS:*.shops.example");
  assert.equal(await shownFor(it.edge, "c.example"), "DNS:a.example");
  assert.equal(await shownFor(it.edge, ""), "DNS:a.example");
});

test("TLS 1.2 and 1.3 are spoken, and nothing older", async () => {
  using state = folder();
  await using it = await startWith(state.path, [makeCertificate(state.path, "a", ["a.example"])]);
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const socket = await handshake(it.edge, "a.example", version);
    assert.equal(socket.getProtocol(), version);
    assert.equal(socket.alpnProtocol, "h2");
    socket.destroy();
  }
  const failed = async () => Number(/edge_tls_failed_total (\d+)/.exec(await it.edge.metrics())?.[1]);
  const before = await failed();
  await assert.rejects(handshake(it.edge, "a.example", "TLSv1.1"), /alert protocol version/);
  await until(async () => before < (await failed()), "it is counted");
});

test("a new certificate is shown to new connections, and a connection that is open goes on", async () => {
  using state = folder();
  const made = makeCertificate(state.path, "a", ["before.example"]);
  await using it = await startWith(state.path, [made]);
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
  const sockets = new Set<unknown>();
  const ask = async () => {
    const asked = request(`${it.edge.https}/`, { agent }).end();
    const [answer] = await once(asked, "response");
    sockets.add(asked.socket);
    answer.resume();
    await once(answer, "end");
    return answer.statusCode;
  };
  assert.equal(await ask(), 200);
  makeCertificate(state.path, "a", ["after.example"]);
  await it.edge.reload();
  assert.equal(await shownFor(it.edge, "anything"), "DNS:after.example");
  assert.equal(await shownFor(it.edge, "after.example"), "DNS:after.example");
  assert.equal(await ask(), 200);
  assert.equal(sockets.size, 1);
  agent.destroy();
});

test("what cannot be used on disk is said and counted, and the certificate before is shown on", async () => {
  using state = folder();
  const made = makeCertificate(state.path, "a", ["before.example"]);
  const other = makeCertificate(state.path, "other", ["other.example"]);
  const { certFile, keyFile, pem } = made;
  const key = readFileSync(keyFile);
  await using it = await startWith(state.path, [made]);
  const notAfter = /certificate_not_after_seconds\{[^}]*\} (\d+)/.exec(await it.edge.metrics())?.[1];
  const inADayS = Date.now() / 1000 + 86_400;
  assert.ok(Math.abs(Number(notAfter) - inADayS) < 600, `${notAfter} is in a day`);

  for (const broken of ["", "no certificate", pem.slice(0, 200), readFileSync(other.certFile)]) {
    writeFileSync(certFile, broken);
    await it.edge.reload();
    await it.edge.reload();
    assert.equal(await shownFor(it.edge, "before.example"), "DNS:before.example");
    assert.match(await it.edge.metrics(), /certificate_refused\{[^}]*\} 1\n/);
  }
  assert.match(await it.edge.metrics(), /certificates_total\{outcome="refused"\} 4\n/, "each once");
  // The key follows: now they fit.
  writeFileSync(keyFile, readFileSync(other.keyFile));
  await it.edge.reload();
  assert.equal(await shownFor(it.edge, "x"), "DNS:other.example");
  assert.match(await it.edge.metrics(), /certificate_refused\{[^}]*\} 0\n/);
  assert.match(await it.edge.metrics(), /certificates_total\{outcome="taken"\} 1\n/);
  writeFileSync(keyFile, key);
  await it.edge.reload();
  assert.match(await it.edge.metrics(), /certificate_refused\{[^}]*\} 1\n/);
});

test("the process takes new files by itself, and at once at SIGHUP", async () => {
  using state = folder();
  const made = makeCertificate(state.path, "a", ["first.example"]);
  await using atSignal = await startProcess(edgeConfig(state.path, { tls: tlsOf(made) }), "pipe");
  using state2 = folder();
  const often = { ...tlsOf(made), reloadEveryMs: 100 };
  await using byItself = await startProcess(edgeConfig(state2.path, { tls: often }));
  assert.equal(await shownFor(atSignal, "x"), "DNS:first.example");
  makeCertificate(state.path, "a", ["second.example"]);
  await until(async () => (await shownFor(byItself, "x")) === "DNS:second.example", "it looks by itself");
  assert.equal(await shownFor(atSignal, "x"), "DNS:first.example");
  atSignal.child.kill("SIGHUP");
  await until(async () => (await shownFor(atSignal, "x")) === "DNS:second.example", "it looks at SIGHUP");
  writeFileSync(made.keyFile, "no key");
  atSignal.child.kill("SIGHUP");
  const [said] = await once(atSignal.child.stderr as Readable, "data");
  assert.match(String(said), /^HOLDFAST_EDGE_CERTIFICATE: cannot use .*a\.crt with .*a\.key, the one before/);
  assert.equal(await shownFor(atSignal, "x"), "DNS:second.example");
});

test("who does not get on with the handshake, or speaks no TLS, is ended in time", async () => {
  using state = folder();
  const made = makeCertificate(state.path, "a", ["a.example"]);
  const limits = { ...edgeConfig("").limits, headWithinMs: 300 };
  await using edge = await startHere(edgeConfig(state.path, { tls: tlsOf(made), limits }));
  const port = Number(new URL(edge.https).port);
  for (const first of ["", "\x16\x03\x01\x02\x00\x01", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"]) {
    const socket = connectTcp({ host: "127.0.0.1", port });
    socket.on("error", () => undefined).resume();
    if (first !== "") socket.write(Buffer.from(first, "latin1"));
    await once(socket, "close");
  }
});

test("an edge whose certificate cannot be used does not start, and says which", async () => {
  using state = folder();
  const made = makeCertificate(state.path, "a", ["a.example"]);
  const other = makeCertificate(state.path, "b", ["b.example"]);
  const mixed = { ...made, keyFile: other.keyFile };
  await assert.rejects(
    startHere(edgeConfig(state.path, { tls: tlsOf(mixed) })),
    /cannot use .*a\.crt with .*b\.key/,
  );
});
