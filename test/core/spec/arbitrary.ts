/** Arbitrary topologies that are valid: small numbers of everything, names and ports that never meet. */
import fc from "fast-check";
import { leaseProfiles } from "../../../src/core/model/profile.ts";
import type { EdgeServing, Region, Topology } from "../../../src/core/model/topology.ts";
import type { AffinityRules } from "../../../src/core/model/traffic.ts";
import { classesArb, levelsArb } from "./degradation-arbitrary.ts";

const nameArb = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/);
const spanArb = (min: number) =>
  fc.oneof(fc.integer({ min, max: 90_000 }), fc.constantFrom(60_000, 3_600_000, 86_400_000));
const rpsArb = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 5000 }));
const hostArb = fc.constantFrom("127.0.0.1", "db.example", "::1", "10.0.0.9");
const names = (min: number, max: number) => fc.uniqueArray(nameArb, { minLength: min, maxLength: max });
const textArb = fc.string({
  unit: fc.constantFrom(...Array.from("aZ09 :#-'\"{}[]&*!|>%@\\,?~\n\té")),
  maxLength: 30,
});

const shareArb = fc.constantFrom(0, 0.2, 0.5, 1);

/** As a decoder makes them: with the prototype of objects. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(model, { noNullPrototype: true });

/** Any part of it; without limits of requests where there is a Router, since HAProxy cannot keep them. */
function trafficArb(
  allow: readonly string[],
  hasRouters: boolean,
): fc.Arbitrary<Pick<Topology["services"][number], "traffic">> {
  const some = fc.subarray([...allow], { minLength: 1 });
  const mark = fc.oneof(
    record({
      kind: fc.constant("header" as const),
      name: fc.constant("X-Tenant"),
      value: fc.constant("a b"),
    }),
    record({ kind: fc.constant("host" as const), name: fc.constantFrom("eu.example", "*.eu.example") }),
    record({ kind: fc.constant("path" as const), prefix: fc.constant("/eu") }),
    record({ kind: fc.constant("network" as const), cidr: fc.constantFrom("10.0.0.0/8", "2001:db8::/32") }),
  );
  const affinity = fc.constantFrom<AffinityRules>(
    { kind: "header", name: "X-Session" },
    { kind: "cookie", name: "sid" },
    { kind: "client" },
  );
  const parts = fc.record(
    {
      balance: record({
        regions: fc.constantFrom("local-first" as const, "shared" as const),
        pick: fc.constantFrom("weight" as const, "latency" as const),
        overprovisioning: fc.constantFrom(1, 1.4, 10),
        panicBelow: shareArb,
      }),
      affinity,
      slowStartMs: spanArb(1),
      outliers: record({
        failures: fc.integer({ min: 1, max: 9 }),
        count: fc.constantFrom("gateway" as const, "all-5xx" as const),
        ejectionMs: spanArb(10),
        ejectionMaxMs: spanArb(10),
        shareMax: shareArb,
      }),
      checks: record({
        path: fc.constantFrom(null, "/ready"),
        everyMs: spanArb(100),
        jitter: shareArb,
        timeoutMs: spanArb(10),
        healthyAfter: fc.integer({ min: 1, max: 9 }),
        unhealthyAfter: fc.integer({ min: 1, max: 9 }),
      }),
      bulkhead: record({
        connections: fc.integer({ min: 1, max: 100 }),
        pending: fc.integer({ min: 0, max: 100 }),
        requests: fc.integer({ min: 1, max: 100 }),
      }),
      deadlineMs: spanArb(10),
      hedge: record({ after: shareArb }),
      sovereignty: record({
        limits: fc.array(record({ when: mark, regions: some }), { minLength: 1, maxLength: 3 }),
        others: fc.constantFrom("allow" as const, "refuse" as const),
      }),
    },
    { requiredKeys: [], noNullPrototype: true },
  );
  return parts.map(({ sovereignty, ...rest }) => {
    const traffic = { ...rest, ...(sovereignty && !hasRouters && { sovereignty }) };
    return Object.keys(traffic).length === 0 ? {} : { traffic };
  });
}

/** Any part of it. */
function servingArb(port: number): fc.Arbitrary<EdgeServing> {
  const certificate = record({
    certFile: fc.constantFrom("/tls/a.crt", "/tls/b c.crt"),
    keyFile: fc.constant("/tls/a.key"),
  });
  return fc.record(
    {
      // No fewer connections than that are allowed by any bulkhead that is made here.
      processes: fc.constantFrom(1, "auto" as const),
      tls: record({
        listen: record({ host: hostArb, port: fc.constant(port) }),
        certificates: fc.array(certificate, { minLength: 1, maxLength: 2 }),
        minVersion: fc.constantFrom("TLSv1.2" as const, "TLSv1.3" as const),
      }),
      cache: fc.boolean(),
      concurrency: record({
        least: fc.integer({ min: 1, max: 9 }),
        most: fc.integer({ min: 9, max: 100 }),
      }),
      trustedProxies: fc.array(fc.constantFrom("10.0.0.0/8", "2001:db8::/32", "192.0.2.1"), {
        minLength: 1,
        maxLength: 2,
      }),
    },
    { requiredKeys: [], noNullPrototype: true },
  );
}

export const topologyArb: fc.Arbitrary<Omit<Topology, "digest">> = fc
  .gen()
  .map((gen): Omit<Topology, "digest"> => {
    let port = 2000;
    const address = () => ({ host: gen(() => hostArb), port: ++port });
    const regions: readonly Region[] = gen(() => names(1, 4)).map((name, index) => ({
      name,
      jurisdiction: gen(() => fc.constantFrom("eu", "us", "null", "1")),
      role: index === 0 ? "active" : gen(() => fc.constantFrom("active", "standby", "witness")),
      failureDomains: gen(() => fc.dictionary(nameArb, nameArb, { maxKeys: 2, noNullPrototype: true })),
      capacityRps: gen(() => rpsArb),
      agent: address(),
    }));
    const serving = regions.filter(({ role }) => role !== "witness").map(({ name }) => name);
    const some = () => gen(() => fc.shuffledSubarray(serving, { minLength: 1 }));
    const memberNames = gen(() => names(8, 8));
    const dataStores = gen(() => names(0, 2)).map((name, index): Topology["dataStores"][number] => {
      const synchronous = gen(() => fc.boolean());
      const places = some();
      return {
        name,
        engine: "postgresql",
        replication: synchronous ? "synchronous" : "asynchronous",
        acknowledgements: synchronous ? gen(() => fc.integer({ min: 1, max: 3 })) : 0,
        strict: synchronous && gen(() => fc.boolean()),
        rpoMs: synchronous ? 0 : gen(() => spanArb(1)),
        jurisdictions: gen(() => fc.boolean())
          ? [
              ...new Set(
                regions
                  .filter((region) => places.includes(region.name))
                  .map(({ jurisdiction }) => jurisdiction),
              ),
            ]
          : [],
        ...(gen(() => fc.boolean()) && {
          seedMegabytesPerSecondMax: gen(() => fc.constantFrom(0.04, 20, 1000)),
        }),
        ...(gen(() => fc.boolean()) && {
          backups: {
            region: places.at(-1)!,
            folder: "/backups",
            maxAgeMs: gen(() => fc.constantFrom(1, 26 * 3_600_000)),
            testMaxAgeMs: gen(() => fc.constantFrom(90_000, 8 * 86_400_000)),
          },
        }),
        members: places.map((region, position) => ({
          name: memberNames[index * 4 + position]!,
          region,
          address: address(),
          gate: address(),
          dataDir: `/data/${index}/m-${position}`,
          promotable: gen(() => fc.boolean()),
        })),
      };
    });
    const stores = dataStores.map(({ name }) => name);
    const planes = gen(() => names(0, 4));
    return {
      name: gen(() => nameArb),
      mode: gen(() => fc.constantFrom("observe", "advise", "approve", "auto")),
      profile: leaseProfiles[gen(() => fc.constantFrom("fast", "balanced", "cautious"))],
      store: gen(() => fc.boolean())
        ? { kind: "embedded", path: "/state/store.db" }
        : { kind: "etcd", endpoints: ["http://10.0.0.1:2379", "https://[::1]:2379"] },
      failback: {
        mode: gen(() => fc.constantFrom("manual", "auto")),
        stableForMs: gen(() => spanArb(0)),
        perDayMax: gen(() => fc.integer({ min: 0, max: 100 })),
      },
      regions,
      dataStores,
      services: gen(() => names(0, 2)).map((name) => {
        const allow = gen(() => fc.subarray(serving, { minLength: 1 }));
        const everyMs = gen(() => spanArb(100));
        const endpoints = gen(() => fc.shuffledSubarray(allow, { minLength: 1 }));
        const staleMaxMs = gen(() => spanArb(0));
        const classes = gen(() => classesArb(endpoints));
        const levels = gen(() => levelsArb(classes, staleMaxMs > 0));
        return {
          name,
          tier: gen(() => fc.integer({ min: 0, max: 9 })),
          objectives: {
            availability: gen(() => fc.constantFrom(0, 0.5, 0.999, 0.9999, 0.99995, 1)),
            rtoMs: gen(() => spanArb(1)),
            rpoMs: gen(() => spanArb(0)),
          },
          dataStores: gen(() => fc.shuffledSubarray(stores)),
          allow,
          demandRps: gen(() => rpsArb),
          endpoints: endpoints.map((region) => ({
            region,
            url: `http://10.1.0.1:${++port}`,
            healthPath: gen(() => fc.constantFrom("/", "/healthz", "/h?a=b#c:d")),
            weight: gen(() => fc.integer({ min: 0, max: 100 })),
          })),
          journeys: gen(() => names(0, 2)).map((journey) => ({
            name: journey,
            everyMs,
            timeoutMs: gen(() => fc.integer({ min: 1, max: Math.min(everyMs, 5000) })),
            steps: [
              {
                method: gen(() => fc.constantFrom("GET", "PUT", "POST")),
                path: gen(() => fc.constantFrom("/", "/a?b=1")),
                headers: gen(() =>
                  fc.dictionary(
                    fc.constantFrom("Accept", "__proto__", "constructor", "1"),
                    fc.constantFrom("", "a: b", "true"),
                    {
                      maxKeys: 3,
                      noNullPrototype: true,
                    },
                  ),
                ),
                body: gen(() => fc.option(textArb)),
                expectStatus: gen(() => fc.integer({ min: 100, max: 599 })),
              },
            ],
          })),
          rules: {
            holdMaxMs: gen(() => spanArb(0)),
            holdMaxCount: gen(() => fc.integer({ min: 0, max: 1000 })),
            tryTimeoutMs: gen(() => spanArb(1)),
            retryBudget: gen(() => fc.constantFrom(0, 0.2, 0.25, 1)),
            staleMaxMs,
            ttlMs: gen(() => fc.integer({ min: 0, max: 86_400_000 })),
          },
          ...gen(() => trafficArb(allow, planes.length > 2)),
          ...(classes.length === 0 ? {} : { classes }),
          ...(levels === null ? {} : { levels }),
        };
      }),
      edges: planes.slice(0, 2).map((name, index) => ({
        name,
        region: gen(() => fc.constantFrom(...regions.map((region) => region.name))),
        http: address(),
        admin: address(),
        tcp: Object.fromEntries(stores.map((store) => [store, address()])),
        stateDir: `/state/edge-${index}`,
        ...gen(() => servingArb(++port)),
      })),
      routers: planes.slice(2).map((name, index) => ({
        name,
        region: gen(() => fc.constantFrom(...regions.map((region) => region.name))),
        kind: "haproxy",
        http: address(),
        stateDir: `/state/haproxy-${index}`,
      })),
    };
  });
