/** `node node-proxy.ts NAME FOLDER ORIGIN_PORT`: a proxy package of Node as a process; FOLDER holds its `node_modules`. */
import { Agent, createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

const [name = "", folder = "", originPort = ""] = process.argv.slice(2);
const load = createRequire(join(folder, "package.json"));
const origin = `http://127.0.0.1:${originPort}`;

interface Proxy {
  web(request: IncomingMessage, response: ServerResponse): void;
  on(
    event: "error",
    listener: (error: Error, request: IncomingMessage, response: ServerResponse) => void,
  ): void;
}

/** What is used of them: they are not installed where types are checked. */
interface ProxyPackage {
  createProxyServer(options: { readonly target: string; readonly agent: Agent }): Proxy;
}

interface FastifyServer {
  register(plugin: unknown, options: { readonly upstream: string }): void;
  listen(address: { readonly port: number; readonly host: string }): Promise<string>;
}

if (name === "@fastify/http-proxy") {
  const server = (load("fastify") as () => FastifyServer)();
  server.register(load(name), { upstream: origin });
  console.log(new URL(await server.listen({ port: 0, host: "127.0.0.1" })).port);
} else {
  // Connections are kept, as all others here do: without, it would be measured how fast they are opened.
  const agent = new Agent({ keepAlive: true, maxSockets: 512 });
  const proxy = (load(name) as ProxyPackage).createProxyServer({ target: origin, agent });
  proxy.on("error", (_error, _request, response) => response.writeHead(502).end());
  const server = createServer((request, response) => proxy.web(request, response));
  server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
}
