/** Addresses of hosts for what PostgreSQL looks up by itself: libpq and pg_hba.conf wait for a name server, or believe it. */
import dns from "node:dns";
import { isIP } from "node:net";

/** Names that are kept are given at once; PostgreSQL must start and follow without them as well. */
const withinMs = 300;

/** Empty: it is an address itself, or none was found in time. */
export function foundAddresses(host: string): Promise<readonly string[]> {
  if (isIP(host) !== 0) return Promise.resolve([]);
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, withinMs, []);
    // Not taken over by name: what is in its place then is asked.
    dns.lookup(host, { all: true }, (error, found) => {
      clearTimeout(timer);
      resolve(error ? [] : found.map(({ address }) => address));
    });
  });
}

/** Of those that were found, by name. */
export async function foundByHost(hosts: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = await Promise.all(hosts.map(async (host) => [host, await foundAddresses(host)] as const));
  return new Map(found.filter(([, addresses]) => addresses.length > 0));
}
