/** The leadership of a real etcd is moved to a member that can lead, and nobody waits for one that never comes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { etcdLeader, moveEtcdLeader, untilEtcdLeads } from "../../../src/lab/net/etcd-leader.ts";
import { type EtcdCluster, hasEtcd, leaveOut, startCluster } from "../../adapters/etcd/cluster.ts";

test("leadership is moved past members that are dead, and asked of none when all of them are", {
  timeout: 120_000,
}, async (context) => {
  if (!hasEtcd) return leaveOut(context);
  await using cluster = await startCluster({ size: 3 });
  await cluster.ready();
  const places = placesOf(cluster);
  const before = await untilEtcdLeads(places);
  const [dead, alive] = places.regions.map(({ name }) => name).filter((name) => name !== before);
  await cluster.members[Number(dead)]?.kill();
  assert.equal(await moveEtcdLeader(places, null), alive, "not to the first of the others: it is dead");
  assert.equal(await moveEtcdLeader(places, before), before);
  await assert.rejects(moveEtcdLeader(places, dead ?? ""), /could not be moved from/);
  for (const member of cluster.members) await member.kill();
  assert.equal(await etcdLeader(places), null);
  await assert.rejects(untilEtcdLeads(places), /no leader/);
});

function placesOf({ endpoints }: EtcdCluster) {
  return {
    regions: endpoints.map((url, index) => ({
      name: String(index),
      host: "127.0.0.1",
      ports: { etcdClient: Number(new URL(url).port) },
    })),
  };
}
