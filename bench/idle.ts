/**
 * `npm run bench:idle`: what 10,000 clients that are connected and say nothing cost an edge, and those who do ask.
 *
 * For each way to be connected: memory of the edge's process per connection, once all are there and have been answered
 * once, and how long requests of others take then, beside the same without them. Clients come from several addresses of
 * 127/8, since one has no more than some 28,000 ports. Exits 1 when a request fails or a connection is refused.
 */
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { makeCertificate } from "../test/edge/parts/certificates.ts";
import { type BenchEdge, startEdge } from "./parts/edge.ts";
import { benchFlags, numberFlag } from "./parts/flags.ts";
import { writeResults } from "./parts/results.ts";

const values = benchFlags(import.meta.url, {
  connections: { type: "string", default: "10000" },
  requests: { type: "string", default: "500" },
  json: { type: "string" },
});
const count = numberFlag("connections", values.connections);
const requests = numberFlag("requests", values.requests);
const addresses = 8;
/** Handshakes under way at once. */
const atOnce = 100;

const folder = mkdtempSync(join(tmpdir(), "holdfast-idle-"));
const { certFile, keyFile } = makeCertificate(folder, "idle", ["idle.example"]);

type Ports = Pick<BenchEdge, "httpPort" | "httpsPort">;

/** How one becomes idle: connected, answered once, and silent. */
const ways: Readonly<Record<string, (ports: Ports, localAddress: string) => Promise<{ destroy(): void }>>> = {
  "HTTP/1.1": ({ httpPort: port }, localAddress) =>
    askOnce(connect({ host: "127.0.0.1", port, localAddress })),
  "HTTP/1.1 over TLS": ({ httpsPort: port }, localAddress) =>
    askOnce(connectTls({ host: "127.0.0.1", port, localAddress, rejectUnauthorized: false } as object)),
  "HTTP/2 over TLS": async ({ httpsPort: port }, localAddress) => {
    const session = connectHttp2(`https://127.0.0.1:${port}`, {
      localAddress,
      rejectUnauthorized: false,
    } as object);
    const stream = session.request({ ":path": "/.holdfast/livez" });
    stream.resume();
    await once(stream, "end");
    return session;
  },
};

async function askOnce(socket: Socket): Promise<Socket> {
  socket.write("GET /.holdfast/livez HTTP/1.1\r\nHost: a\r\n\r\n");
  await once(socket, "data");
  return socket;
}

async function open(way: string, ports: Ports): Promise<{ destroy(): void }[]> {
  const all: { destroy(): void }[] = [];
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < count) {
      const address = `127.0.0.${1 + (next++ % addresses)}`;
      all.push(await (ways[way] as (typeof ways)[string])(ports, address));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  return all;
}

/** In milliseconds: the middle, and what one in a hundred exceeds. */
async function ask(ports: Ports): Promise<{ readonly p50Ms: number; readonly p99Ms: number }> {
  const took: number[] = [];
  for (let n = 0; n < requests; n++) {
    const since = performance.now();
    const answer = await fetch(`http://127.0.0.1:${ports.httpPort}/.holdfast/livez`);
    if ((await answer.text()) !== "ok\n") throw new Error(`a request was answered ${answer.status}`);
    took.push(performance.now() - since);
  }
  took.sort((a, b) => a - b);
  const at = (share: number) => Number((took[Math.floor(took.length * share)] as number).toFixed(2));
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

function rssBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}

/** A new edge for each way: what one has grown to would hide what the next costs. */
async function measure(way: string): Promise<Readonly<Record<string, string | number>>> {
  const tls = { listen: { host: "127.0.0.1", port: 0 }, certificates: [{ certFile, keyFile }] };
  const config = { tls, limits: { idleForMs: 600_000 } };
  const edge = await startEdge(join(folder, way.replaceAll(/\W/g, "-")), { config });
  try {
    // The first requests belong to the compiler of the JavaScript engine.
    await ask(edge);
    const alone = await ask(edge);
    const before = rssBytes(edge.pid);
    const since = performance.now();
    const all = await open(way, edge);
    const openS = (performance.now() - since) / 1000;
    const among = await ask(edge);
    const perConnection = (rssBytes(edge.pid) - before) / all.length;
    for (const one of all) one.destroy();
    return {
      way,
      connections: all.length,
      "opened in s": Number(openS.toFixed(1)),
      "KB each": Number((perConnection / 1024).toFixed(1)),
      "p50 ms alone": alone.p50Ms,
      "p50 ms among": among.p50Ms,
      "p99 ms alone": alone.p99Ms,
      "p99 ms among": among.p99Ms,
    };
  } finally {
    await edge.stop();
  }
}

try {
  const rows = [];
  for (const way of Object.keys(ways)) rows.push(await measure(way));
  console.table(rows);
  writeResults(values.json, { requests, rows });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
