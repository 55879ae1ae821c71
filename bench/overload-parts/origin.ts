/**
 * A service as a process of its own: a bounded pool of workers that each request takes for a known time, and a queue
 * before it without a limit, as most services have. What has been given up by its client is worked on all the same: few
 * services look.
 *
 * `/count` tells, without a worker: requests offered and finished, those under way now (their client still there), and the
 * most of these since it was last asked.
 */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const [workers = "16", serviceMs = "20"] = process.argv.slice(2);
const queue: ServerResponse[] = [];
let free = Number(workers);
let offered = 0;
let finished = 0;
let under = 0;
let underMost = 0;

const there = new Set<ServerResponse>();

function leave(response: ServerResponse): void {
  if (there.delete(response)) under--;
}

function work(): void {
  while (free > 0) {
    const response = queue.shift();
    if (!response) return;
    free--;
    setTimeout(() => {
      free++;
      finished++;
      leave(response);
      response.writeHead(200, { "content-type": "text/plain", "content-length": 2 });
      response.end("ok");
      work();
    }, Number(serviceMs));
  }
}

const server = createServer((request, response) => {
  if (request.url === "/count") {
    response.end(JSON.stringify({ offered, finished, under, underMost }));
    underMost = under;
    return;
  }
  if (request.url === "/healthz") {
    response.end();
    return;
  }
  offered++;
  underMost = Math.max(underMost, ++under);
  there.add(response);
  response.once("close", () => leave(response));
  queue.push(response);
  work();
});
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () =>
  console.log((server.address() as AddressInfo).port),
);
