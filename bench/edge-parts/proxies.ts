/** The proxies that are compared, and the origin behind them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { benchTable, startEdge } from "../parts/edge.ts";
import { startNginx } from "../parts/nginx.ts";
import { end, freePort, untilAnswers } from "../parts/server.ts";

/** Alone on it: nothing else of the bench is pinned here. */
const proxyCore = "0";
const originCore = "1";

interface Running {
  readonly pid: number;
  stop(): Promise<void>;
}

/** HAProxy as the origin: the cheapest there is, so that the proxy is the bottleneck. */
export async function startOrigin(folder: string): Promise<Running & { readonly port: number }> {
  const port = await freePort();
  const body = join(folder, "1k.txt");
  writeFileSync(body, "x".repeat(1024));
  const config = `${haproxyHead}
frontend origin
  bind 127.0.0.1:${port}
  http-request return status 200 content-type text/plain file ${body}
`;
  return { port, ...(await startHaproxyProcess(folder, "origin", originCore, config, port)) };
}

export async function startHaproxy(
  folder: string,
  originPort: number,
): Promise<Running & { readonly http: string; readonly tcp: string }> {
  const [http, tcp] = [await freePort(), await freePort()];
  const config = `${haproxyHead}
frontend http
  bind 127.0.0.1:${http}
  option forwardfor
  unique-id-format %{+X}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header x-request-id
  default_backend http
backend http
  http-reuse always
  http-response set-header x-holdfast-region west
  server west 127.0.0.1:${originPort}
listen tcp
  mode tcp
  bind 127.0.0.1:${tcp}
  server west 127.0.0.1:${originPort}
`;
  const running = await startHaproxyProcess(folder, "haproxy", proxyCore, config, http);
  return { http: `http://127.0.0.1:${http}/`, tcp: `http://127.0.0.1:${tcp}/`, ...running };
}

const haproxyHead = `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
`;

async function startHaproxyProcess(
  folder: string,
  name: string,
  core: string,
  config: string,
  port: number,
): Promise<Running> {
  const file = join(folder, `${name}.cfg`);
  writeFileSync(file, config);
  const child = spawn("taskset", ["-c", core, "haproxy", "-db", "-f", file], { stdio: "inherit" });
  await untilAnswers(port);
  return { pid: child.pid as number, stop: () => end(child) };
}

export async function startNginxProxy(
  folder: string,
  originPort: number,
): Promise<Running & { readonly http: string }> {
  const { port, pid, stop } = await startNginx({
    folder: join(folder, "nginx"),
    core: proxyCore,
    http: `upstream west { server 127.0.0.1:${originPort}; keepalive 128; }`,
    server: `keepalive_requests 1000000;
    location / {
      proxy_pass http://west;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      add_header X-Holdfast-Region west;
    }`,
  });
  return { http: `http://127.0.0.1:${port}/`, pid, stop };
}

/** A proxy package of Node. `packages`: where it is installed. */
export async function startNodeProxy(
  name: string,
  packages: string,
  originPort: number,
): Promise<Running & { readonly http: string }> {
  const program = fileURLToPath(new URL("./node-proxy.ts", import.meta.url));
  const node = [process.execPath, "--no-deprecation"];
  const command = ["-c", proxyCore, ...node, program, name, packages, String(originPort)];
  const child = spawn("taskset", command, { stdio: ["ignore", "pipe", "inherit"] });
  const [port] = (await once(createInterface(child.stdout), "line")) as [string];
  return { http: `http://127.0.0.1:${port}/`, pid: child.pid as number, stop: () => end(child) };
}

/** With the features of a normal service on: holds, breakers, budget, ids, metrics. */
export async function startBenchEdge(
  folder: string,
  originPort: number,
): Promise<Running & { readonly http: string; readonly tcp: string }> {
  const edge = await startEdge(folder, { core: proxyCore });
  await edge.apply(benchTable({ west: originPort, central: originPort }));
  const { pid, stop } = edge;
  return {
    http: `http://127.0.0.1:${edge.httpPort}/`,
    tcp: `http://127.0.0.1:${edge.tcpPort}/`,
    pid,
    stop,
  };
}
