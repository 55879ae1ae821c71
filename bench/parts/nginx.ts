/** nginx as every bench runs it: in the foreground, one worker, all files in a folder of its own. */
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { end, freePort, untilListens } from "./server.ts";

export interface Nginx {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}

export interface NginxOptions {
  /** Made by the call. */
  readonly folder: string;
  /** Within `http`, beside the server. */
  readonly http?: string;
  /** Within `server`. */
  readonly server: string;
  /** Pinned to it; otherwise where the system likes. */
  readonly core?: string;
}

/** nginx started as root would run its worker as somebody who may not read our temporary folder. */
const user = process.getuid?.() === 0 ? "user root;\n" : "";

export async function startNginx({ folder, http = "", server, core }: NginxOptions): Promise<Nginx> {
  const port = await freePort();
  mkdirSync(folder);
  const file = join(folder, "nginx.conf");
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `${kind}_temp_path ${folder}/${kind};`,
  );
  writeFileSync(
    file,
    `${user}daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 8192; }
http {
  access_log off;
  ${paths.join("\n  ")}
  ${http}
  server {
    listen 127.0.0.1:${port};
    ${server}
  }
}
`,
  );
  const args = ["-c", file, "-p", folder];
  const child =
    core === undefined
      ? spawn("nginx", args, { stdio: "inherit" })
      : spawn("taskset", ["-c", core, "nginx", ...args], { stdio: "inherit" });
  await untilListens(port);
  return { pid: child.pid as number, port, stop: () => end(child) };
}
