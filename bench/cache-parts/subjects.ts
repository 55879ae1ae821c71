/** The caches that are judged, and the service behind them, which is the tests' own. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { benchTable, startEdge } from "../parts/edge.ts";
import { startNginx } from "../parts/nginx.ts";
import { end, freePort, untilAnswers } from "../parts/server.ts";

export interface Subject {
  readonly name: string;
  readonly url: string;
  stop(): Promise<void>;
}

export async function startService(folder: string, packages: string) {
  const port = await freePort();
  const child = spawn(process.execPath, ["server/server.mjs"], {
    cwd: join(packages, "node_modules/http-cache-tests"),
    env: {
      ...process.env,
      npm_config_protocol: "http",
      npm_config_port: String(port),
      npm_config_pidfile: join(folder, "service.pid"),
    },
    // It tells of every path that it does not know.
    stdio: ["ignore", "ignore", "inherit"],
  });
  await untilAnswers(port);
  return { port, stop: () => end(child) };
}

export async function startEdgeSubject(folder: string, servicePort: number): Promise<Subject> {
  // A hundred tests at once, and services that refuse on purpose: an edge would learn from it to be careful.
  const concurrency = { least: 512, most: 512 };
  const edge = await startEdge(folder, { config: { cache: true, concurrency } });
  // One region: with two, a request that got no answer would be tried twice, which some tests count as a fault.
  const rules = { staleMaxMs: 60_000, holdMaxMs: 1000 };
  await edge.apply(benchTable({ west: servicePort, rules }));
  return { name: "edge", url: `http://127.0.0.1:${edge.httpPort}`, stop: () => edge.stop() };
}

/** As careful as it can be: `use_stale` for what our edge covers too, and revalidation on. */
export async function startNginxSubject(folder: string, servicePort: number): Promise<Subject> {
  const place = join(folder, "nginx-cache");
  const { port, stop } = await startNginx({
    folder: place,
    http: `proxy_cache_path ${place}/cache levels=1:2 keys_zone=bench:8m max_size=64m inactive=600m;`,
    server: `location / {
      proxy_pass http://127.0.0.1:${servicePort};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache bench;
      proxy_cache_revalidate on;
      proxy_cache_use_stale error timeout invalid_header http_500 http_502 http_503 http_504;
    }`,
  });
  return { name: "nginx", url: `http://127.0.0.1:${port}`, stop };
}
