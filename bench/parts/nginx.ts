/** What every nginx of a bench has in its configuration: in the foreground, one worker, all files in its own folder. */

/** nginx started as root would run its worker as somebody who may not read our temporary folder. */
const user = process.getuid?.() === 0 ? "user root;\n" : "";

export function nginxHead(folder: string): string {
  return `${user}daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 8192; }
`;
}

/** Within `http`. */
export function nginxPaths(folder: string): string {
  return ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join("\n  ");
}
