/** Ports that are free now, and that no outgoing connection takes before they are used: for the lab and for tests. */
import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";

/** Below are the ports of well-known services. */
const lowest = 10_000;
/** Linux gives outgoing connections ports from here on, unless it is told otherwise. */
const ephemeralDefault = 32_768;

/**
 * `count` different ports on `host`, from below those that outgoing connections are given: the system hands each of
 * those to the next client that asks, so that with a port of its choosing a server found its own taken while it was
 * started again (seen once in some ten starts with the load of three labs). All are held until the last is known.
 */
export async function findFreePorts(count: number, host = "127.0.0.1"): Promise<readonly number[]> {
  const end = firstEphemeral();
  const servers: Server[] = [];
  try {
    // Chosen by chance, so that labs that start at the same time do not look in the same place.
    for (let tries = 0; servers.length < count; tries++) {
      if (tries > 50 * count)
        throw new Error(`no ${count} free ports on ${host} from ${lowest} to ${end - 1}`);
      const server = await listen(randomInt(lowest, end), host);
      if (server) servers.push(server);
    }
    return servers.map((server) => (server.address() as { port: number }).port);
  } finally {
    await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  }
}

function firstEphemeral(): number {
  try {
    const [first] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").trim().split(/\s+/);
    const port = Number(first);
    // A range that begins lower leaves too few to choose from: then any port is as good as another.
    return lowest + 1000 <= port ? port : ephemeralDefault;
  } catch {
    return ephemeralDefault;
  }
}

/** null: somebody listens there. */
function listen(port: number, host: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" || error.code === "EACCES" ? resolve(null) : reject(error),
    );
    server.listen(port, host, () => resolve(server));
  });
}
