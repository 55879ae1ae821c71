/** The etcd store passes the contract of the port `store`. */
import { after, test } from "node:test";
import { storeContract } from "../../contract/store.ts";
import { type EtcdCluster, hasEtcd, startCluster } from "./cluster.ts";
import { newEtcdPlace } from "./place.ts";

if (hasEtcd) {
  let cluster: Promise<EtcdCluster> | null = null;
  storeContract("etcd", async () => {
    cluster ??= startCluster({ size: 3 });
    await (await cluster).ready();
    return newEtcdPlace(await cluster);
  });
  after(async () => (await cluster)?.[Symbol.asyncDispose]());
} else {
  test("etcd is installed", (context) => {
    const because = "LEFT OUT: the store contract on etcd; run scripts/install-test-parts.sh";
    if (process.env.CI === "true") throw new Error(because);
    console.error(because);
    context.skip(because);
  });
}
