/** The address of a host for what PostgreSQL looks up by itself: libpq and pg_hba.conf wait for a name server, or believe it. */
import dns from "node:dns";
import { isIP } from "node:net";

/** Names that are kept are given at once; PostgreSQL must start and follow without them as well. */
const withinMs = 300;

/** null: it is an address itself, or none was found in time. */
export function foundAddress(host: string): Promise<string | null> {
  if (isIP(host) !== 0) return Promise.resolve(null);
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, withinMs, null);
    // Not taken over by name: what is in its place then is asked.
    dns.lookup(host, (error, address) => {
      clearTimeout(timer);
      resolve(error ? null : address);
    });
  });
}

/** Those that were found, by name. */
export async function foundAddresses(hosts: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = await Promise.all(hosts.map(async (host) => [host, await foundAddress(host)] as const));
  return new Map(found.flatMap(([host, address]) => (address === null ? [] : [[host, address] as const])));
}
