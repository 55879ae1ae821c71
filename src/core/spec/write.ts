/** A topology in, the text of a `holdfast.yaml` out that compiles to it again. */
import { stringify } from "yaml";
import type { DataStore, Edge, ForeignRouter, Region, Service, Topology } from "../model/topology.ts";
import { writtenClass, writtenLevels } from "./degradation.ts";
import { writeServing } from "./edge.ts";
import { apiVersion, type KindName } from "./language.ts";
import { writeTraffic } from "./traffic.ts";
import { formatAddress, formatDuration } from "./units.ts";

/** `comment` becomes the first lines of the file. */
export function writeTopology(topology: Omit<Topology, "digest">, comment = ""): string {
  const documents = [
    document("Topology", topology.name, {
      mode: topology.mode,
      leaseProfile: topology.profile.name,
      store:
        topology.store.kind === "etcd"
          ? { etcd: { endpoints: topology.store.endpoints } }
          : { embedded: { path: topology.store.path } },
      failback: {
        mode: topology.failback.mode,
        stableFor: formatDuration(topology.failback.stableForMs),
        perDayMax: topology.failback.perDayMax,
      },
    }),
    ...topology.regions.map(region),
    ...topology.dataStores.map(dataStore),
    ...topology.services.map(service),
    ...topology.edges.map(edge),
    ...(topology.routers ?? []).map(router),
  ];
  const head = comment === "" ? "" : `${comment.trimEnd().replace(/^/gm, "# ").replace(/ +$/gm, "")}\n`;
  return head + documents.join("---\n");
}

function document(kind: KindName, name: string, spec: object): string {
  // Never folded: a long value stays on the line that a problem points to.
  return stringify(
    { apiVersion, kind, metadata: { name }, spec },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
}

function region({ name, jurisdiction, role, failureDomains, capacityRps, agent }: Region): string {
  return document("Region", name, {
    jurisdiction,
    role,
    failureDomains,
    capacity: { requestsPerSecond: capacityRps },
    agent: formatAddress(agent),
  });
}

function dataStore(store: DataStore): string {
  const { engine, acknowledgements, strict } = store;
  return document("DataStore", store.name, {
    engine,
    replication:
      store.replication === "synchronous"
        ? { synchronous: { acknowledgements, strict } }
        : { asynchronous: { rpo: formatDuration(store.rpoMs) } },
    sovereignty: { jurisdictions: store.jurisdictions },
    ...(store.seedMegabytesPerSecondMax !== undefined && {
      seeding: { megabytesPerSecondMax: store.seedMegabytesPerSecondMax },
    }),
    ...(store.backups && {
      backups: {
        region: store.backups.region,
        folder: store.backups.folder,
        maxAge: formatDuration(store.backups.maxAgeMs),
        testMaxAge: formatDuration(store.backups.testMaxAgeMs),
      },
    }),
    members: store.members.map((member) => ({
      name: member.name,
      region: member.region,
      address: formatAddress(member.address),
      gate: formatAddress(member.gate),
      dataDir: member.dataDir,
      promotable: member.promotable,
    })),
  });
}

function service({ name, tier, objectives, rules, ...rest }: Service): string {
  const { requests, fields } = writeTraffic(rest.traffic);
  return document("Service", name, {
    tier,
    objectives: {
      availability: objectives.availability,
      rto: formatDuration(objectives.rtoMs),
      rpo: formatDuration(objectives.rpoMs),
    },
    dataStores: rest.dataStores,
    sovereignty: { regions: rest.allow, ...(requests && { requests }) },
    demand: { requestsPerSecond: rest.demandRps },
    endpoints: rest.endpoints,
    journeys: rest.journeys.map(({ everyMs, timeoutMs, ...journey }) => ({
      name: journey.name,
      every: formatDuration(everyMs),
      timeout: formatDuration(timeoutMs),
      steps: journey.steps.map(({ body, ...step }) => (body === null ? step : { ...step, body })),
    })),
    rules: {
      holdMax: formatDuration(rules.holdMaxMs),
      holdMaxCount: rules.holdMaxCount,
      tryTimeout: formatDuration(rules.tryTimeoutMs),
      retryBudget: rules.retryBudget,
      staleMax: formatDuration(rules.staleMaxMs),
      ttl: formatDuration(rules.ttlMs),
    },
    ...fields,
    ...(rest.classes === undefined ? {} : { classes: rest.classes.map(writtenClass) }),
    ...(rest.levels === undefined ? {} : { levels: writtenLevels(rest.levels) }),
  });
}

function edge({ name, region, http, admin, tcp, stateDir, ...serving }: Edge): string {
  return document("Edge", name, {
    region,
    http: formatAddress(http),
    admin: formatAddress(admin),
    tcp: Object.fromEntries(Object.entries(tcp).map(([store, address]) => [store, formatAddress(address)])),
    stateDir,
    ...writeServing(serving),
  });
}

function router({ name, region, kind, http, stateDir }: ForeignRouter): string {
  return document("Router", name, { region, plane: { [kind]: { http: formatAddress(http), stateDir } } });
}
