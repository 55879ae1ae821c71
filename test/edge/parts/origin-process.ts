/** A service as a process of its own: answers every request with its name and the method, and prints its port. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const [name = "origin", port = "0"] = process.argv.slice(2);

const server = createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    const body = `${name} ${request.method} ${request.url}`;
    response.writeHead(200, { "content-type": "text/plain", "content-length": Buffer.byteLength(body) });
    response.end(body);
  });
});
server.listen(Number(port), "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
