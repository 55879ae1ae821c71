/** The three proxies before the recording origin, each as it is usually set up with kept connections behind it. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { benchTable, startEdge } from "../parts/edge.ts";
import { startNginx } from "../parts/nginx.ts";
import { end, freePort, untilListens } from "../parts/server.ts";

interface Proxy {
  readonly port: number;
  stop(): Promise<void>;
}

type Start = (folder: string, originPort: number) => Promise<Proxy>;

export const startProxies: Readonly<Record<"edge" | "haproxy" | "nginx", Start>> = {
  async edge(folder, originPort) {
    const edge = await startEdge(folder);
    await edge.apply(benchTable({ west: originPort, rules: { holdMaxMs: 100 } }));
    return { port: edge.httpPort, stop: () => edge.stop() };
  },

  async haproxy(folder, originPort) {
    const port = await freePort();
    const file = join(folder, "haproxy.cfg");
    writeFileSync(
      file,
      `defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend http
  bind 127.0.0.1:${port}
  option forwardfor
  default_backend http
backend http
  http-reuse always
  retries 0
  server west 127.0.0.1:${originPort}
`,
    );
    const child = spawn("haproxy", ["-db", "-f", file], { stdio: "ignore" });
    await untilListens(port);
    return { port, stop: () => end(child) };
  },

  async nginx(folder, originPort) {
    const { port, stop } = await startNginx({
      folder: join(folder, "nginx"),
      http: `upstream west { server 127.0.0.1:${originPort} max_fails=0; keepalive 16; }`,
      server: `location / {
      proxy_pass http://west;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_next_upstream off;
    }`,
    });
    return { port, stop };
  },
};
