/**
 * Regions by name: whatever runs in a region finds the others in a hosts file of its own, until that knows nobody.
 *
 * - H1. Then the name server is asked, which nobody is: a lookup takes seconds, and finds nothing.
 * - H2. Nobody has to mend it: the files go with the lab, what hides the machine's own with the processes that see it.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LabLayout } from "../layout.ts";
import type { NetworkPlace } from "./place.ts";

/** A place that the topology calls by name. */
export interface NamedPlace extends NetworkPlace {
  readonly hostName: string;
}

/** Mounts that are made later, such as disks of members, are still seen there. */
const apart = ["unshare", "--mount", "--propagation", "slave"];
const hide = 'mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf && shift 2 && exec "$@"';

/** Whatever is started there knows all of them; `nobody`: an address in their network that none of them has. */
export function nameThem(places: readonly NetworkPlace[], nobody: string, root: string): NamedPlace[] {
  const resolver = join(root, "resolv.conf");
  writeFileSync(resolver, `nameserver ${nobody}\n`);
  return places.map((place) => {
    const hosts = hostsFileOf({ root }, place.name);
    knowNames(hosts, places);
    const prefix = [...place.prefix, ...apart, "sh", "-c", hide, "sh", hosts, resolver];
    return { ...place, prefix, hostName: hostNameOf(place.name) };
  });
}

/** The file is written over, not replaced: it is mounted. */
export function knowNames(
  hostsFile: string,
  places: readonly Pick<NetworkPlace, "name" | "address">[],
): void {
  const lines = places.map(({ name, address }) => `${address} ${hostNameOf(name)}`);
  writeFileSync(hostsFile, `${["127.0.0.1 localhost", ...lines].join("\n")}\n`);
}

export function hostsFileOf({ root }: Pick<LabLayout, "root">, region: string): string {
  return join(root, `${region}.hosts`);
}

function hostNameOf(region: string): string {
  return `${region}.holdfast.test`;
}
