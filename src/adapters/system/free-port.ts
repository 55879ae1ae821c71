/** Ports that are free now: for the lab and for tests. */
import { createServer, type Server } from "node:net";

/**
 * `count` different ports on `host`. All are held until the last is known, so that none comes twice; afterwards somebody
 * else may take one, so bind soon.
 */
export async function findFreePorts(count: number, host = "127.0.0.1"): Promise<readonly number[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => listen(host)));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

function listen(host: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, host, () => resolve(server));
  });
}
