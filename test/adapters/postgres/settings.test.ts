/** What PostgreSQL is told of hosts that have names: it asks a name server itself only where nothing else is known. */
import assert from "node:assert/strict";
import test from "node:test";
import { type ConfPlace, conninfo, hbaConf, staticConf } from "../../../src/adapters/postgres/settings.ts";

const member = (name: string, host: string) => ({
  name,
  region: name,
  address: { host, port: 5432 },
  gate: { host, port: 5433 },
  dataDir: `/data/${name}`,
  promotable: true,
});
const west = member("pg-west", "west.test");
const north = member("pg-north", "10.3.0.7");
const place: ConfPlace = {
  member: west,
  store: { name: "orders-db", members: [west, north] } as unknown as ConfPlace["store"],
  socketDir: "/data/socket",
  database: "orders",
  appRole: "app",
  replicationFrom: [],
  overrides: {},
};
const upstream = { member: "pg-west", address: west.address, epoch: 3 };

test("a standby goes to the address that was found, and asks nobody", () => {
  const told = conninfo(place, upstream, "/data/pass", { first: null, found: ["10.1.0.7"] });
  assert.match(told, /^host='west\.test' port='5432' hostaddr='10\.1\.0\.7' /);
});

test("of a host with several addresses each is tried", () => {
  const told = conninfo(place, upstream, "/data/pass", { first: null, found: ["10.1.0.7", "fd00::7"] });
  assert.match(told, /^host='west\.test,west\.test' port='5432,5432' hostaddr='10\.1\.0\.7,fd00::7' /);
});

test("a way that does not last comes before it", () => {
  const first = { host: "127.0.0.1", port: 6000 };
  const told = conninfo(place, upstream, "/data/pass", { first, found: ["10.1.0.7"] });
  assert.match(told, /^host='127\.0\.0\.1,west\.test' port='6000,5432' hostaddr=',10\.1\.0\.7' /);
});

test("where nothing was found the name stands alone", () => {
  assert.match(conninfo(place, upstream, "/data/pass"), /^host='west\.test' port='5432' user=/);
});

test("addresses stand before names in pg_hba.conf, and PostgreSQL listens on one", () => {
  const found = new Map([["west.test", ["10.1.0.7", "fd00::7"]]]);
  const lines = hbaConf(place, found).split("\n");
  const lineOf = (host: string) =>
    lines.findIndex((line) => line.startsWith(`host replication replicator ${host} `));
  assert.ok(0 < lineOf("10.1.0.7/32") && lineOf("10.1.0.7/32") < lineOf("west.test"));
  assert.ok(0 < lineOf("fd00::7/128") && lineOf("fd00::7/128") < lineOf("west.test"));
  assert.ok(0 < lineOf("10.3.0.7/32"), "an address of the topology is one");
  assert.match(staticConf(place, found), /^listen_addresses = '10\.1\.0\.7,fd00::7'$/m);
  assert.match(staticConf(place), /^listen_addresses = 'west\.test'$/m);
});
