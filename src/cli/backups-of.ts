/** Where the backups of a topology's data stores are, for who asks on the command line. */
import { basename, dirname, join, resolve } from "node:path";
import type { BackupPolicy, DataStore, Topology } from "../core/model/topology.ts";
import { complain } from "./connect.ts";
import { exit } from "./exit.ts";
import { topologyOrComplain } from "./topology-file.ts";

export interface PlaceOptions {
  readonly topology: string;
  readonly dataStore?: string;
  readonly folder?: string;
}

export interface BackupsPlace {
  readonly topology: Topology;
  readonly store: DataStore;
  /** Of this data store's backups alone. */
  readonly folder: string;
  /** null: the topology asks for none. */
  readonly policy: BackupPolicy | null;
}

/** Of every data store that has them, or of the one that is named; null: after telling why not. */
export function backupsOf(options: PlaceOptions): readonly BackupsPlace[] | null {
  const topology = topologyOrComplain(options.topology)?.topology;
  if (!topology) return null;
  const names = topology.dataStores.map(({ name }) => name).join(", ") || "none";
  const { dataStore, folder } = options;
  if (dataStore !== undefined && !topology.dataStores.some(({ name }) => name === dataStore)) {
    complain(`no data store ${dataStore}; there is: ${names}`, exit.invalid);
    return null;
  }
  const places = topology.dataStores
    .filter(({ name }) => dataStore === undefined || name === dataStore)
    .flatMap((store): readonly BackupsPlace[] => {
      const below = folder === undefined ? store.backups?.folder : resolve(folder);
      if (below === undefined) return [];
      return [{ topology, store, folder: join(below, store.name), policy: store.backups ?? null }];
    });
  if (places.length > 0) return places;
  complain(
    `${options.topology} says of no data store (${dataStore ?? names}) where its backups are; write spec.backups there, or name a folder with --folder`,
    exit.invalid,
  );
  return null;
}

/** The only one, or the one that is named; null: after telling why not. */
export function onlyBackupsOf(options: PlaceOptions): BackupsPlace | null {
  const places = backupsOf(options);
  if (places === null) return null;
  const [first] = places;
  if (first && places.length === 1) return first;
  complain(
    `which data store? There is: ${places.map(({ store }) => store.name).join(", ")}; name one with --data-store`,
    exit.usage,
  );
  return null;
}

/** A backup that is named by its path needs no topology. */
export function splitPath(backup: string): { readonly folder: string; readonly name: string } | null {
  if (!backup.includes("/")) return null;
  const path = resolve(backup);
  return { folder: dirname(path), name: basename(path) };
}
