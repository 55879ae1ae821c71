/** A topology of its own in a shared etcd cluster, for the contract suite. */
import { type EtcdStoreOptions, openEtcdStore } from "../../../src/adapters/etcd/etcd.ts";
import type { Store } from "../../../src/ports/store.ts";
import type { StorePlace } from "../../contract/store-place.ts";
import type { EtcdCluster } from "./cluster.ts";

/** For `store-client.ts`, which imports it by name. @public */
export function openStore(spec: unknown): Promise<Store> {
  return openEtcdStore(spec as EtcdStoreOptions);
}

let places = 0;

/** An election on a busy machine takes seconds. */
const OPEN_TIMEOUT_MS = 20_000;

export function newEtcdPlace(cluster: EtcdCluster, endpoints = cluster.endpoints): StorePlace {
  places += 1;
  const spec: EtcdStoreOptions = {
    endpoints,
    topology: `test ${process.pid}/${places}`,
    openTimeoutMs: OPEN_TIMEOUT_MS,
  };
  return {
    module: import.meta.url,
    spec,
    open: () => openEtcdStore(spec),
    lose(forMs) {
      for (const member of cluster.members) member.signal("SIGSTOP");
      const over = new Promise<void>((resolve) => {
        setTimeout(() => {
          for (const member of cluster.members) member.signal("SIGCONT");
          resolve();
        }, forMs);
      });
      return Promise.resolve({ over });
    },
    async compact() {
      const store = await openEtcdStore(spec);
      const { revision } = await store.list("", AbortSignal.timeout(10_000));
      await store.close();
      await cluster.control(["compact", String(revision)]);
    },
    remove: () => Promise.resolve(),
  };
}
