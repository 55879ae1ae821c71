/** What is left when one region is gone, or all regions of one failure domain: places, capacity, votes, copies. */
import type { RegionName } from "../model/id.ts";
import type { DataStore, Service, Topology } from "../model/topology.ts";
import { type Shortage, shortage } from "./capacity.ts";
import type { Finding } from "./finding.ts";

export function lossFindings(topology: Topology): readonly Finding[] {
  const losses = topology.regions.map(({ name }) => name);
  return [
    ...losses.flatMap((lost) => [
      ...topology.services.flatMap((service) => unserved(service, lost)),
      ...topology.services.flatMap((service) => limited(service, lost)),
      ...topology.dataStores.flatMap((store) => unled(store, lost)),
    ]),
    ...capacityFindings(topology),
    ...domains(topology),
  ];
}

/** Only where it runs now: after the loss of its one endpoint, a permission alone serves nobody. */
function unserved(service: Service, lost: RegionName): readonly Finding[] {
  const places = service.endpoints.map(({ region }) => region);
  const left = places.filter((region) => region !== lost);
  if (left.length > 0 || places.length === 0) return [];
  const others = service.allow.filter((region) => region !== lost);
  return [
    {
      code: "sovereignty-unreachable",
      severity: "error",
      subject: `Service/${service.name}`,
      sentence: `without ${lost} it has no place left: it runs nowhere else`,
      numbers: { endpoints: places.length, allowedElsewhere: others.length },
      advice:
        others.length > 0
          ? `add an endpoint in ${others.join(" or ")}`
          : "its sovereignty allows this one region: allow another, or add a region in the same jurisdiction",
    },
  ];
}

/** Requests that a limit keeps where one loss takes all: those of a service that survives it. */
function limited({ name, endpoints, traffic }: Service, lost: RegionName): readonly Finding[] {
  const places = endpoints.map(({ region }) => region);
  if (places.every((region) => region === lost)) return [];
  const stranded = (traffic?.sovereignty?.limits ?? []).filter(({ regions }) => {
    const able = places.filter((region) => regions.includes(region));
    return able.length > 0 && able.every((region) => region === lost);
  });
  if (stranded.length === 0) return [];
  return [
    {
      code: "limit-unreachable",
      severity: "warning",
      subject: `Service/${name}`,
      sentence: `without ${lost} the requests of ${stranded.length} of its limits have no place left`,
      numbers: { limits: stranded.length },
      advice: "add an endpoint in another region that these limits allow, or accept that they get 503",
    },
  ];
}

function unled(store: DataStore, lost: RegionName): readonly Finding[] {
  const left = store.members.filter(({ promotable, region }) => promotable && region !== lost);
  // A single member is told as such.
  if (left.length > 0 || store.members.length === 1) return [];
  const within = store.jurisdictions.length > 0 ? ` in ${store.jurisdictions.join(", ")}` : "";
  return [
    {
      code: "data-unreachable",
      severity: "error",
      subject: `DataStore/${store.name}`,
      sentence: `without ${lost} no member is left that may become primary`,
      numbers: { members: store.members.length },
      advice: `add a promotable member in another region${within}`,
    },
  ];
}

function capacityFindings(topology: Topology): readonly Finding[] {
  const declared = topology.services.filter(({ demandRps }) => demandRps > 0);
  const carriers = topology.regions.filter(({ name }) =>
    declared.some(({ endpoints }) => endpoints.some(({ region }) => region === name)),
  );
  const undeclared = carriers.filter(({ capacityRps }) => capacityRps === 0);
  const found: Finding[] = undeclared.map(({ name }) => ({
    code: "capacity-undeclared",
    severity: "info",
    subject: `Region/${name}`,
    sentence: "services declare demand and this region no capacity: counted as enough",
    numbers: { capacityRps: 0 },
    advice: "set capacity.requestsPerSecond from a load test",
  }));
  const whole = shortfall(topology, null);
  if (whole) return [...found, short(whole, null)];
  return [
    ...found,
    ...carriers.flatMap(({ name }) => {
      const missing = shortfall(topology, name);
      return missing ? [short(missing, name)] : [];
    }),
  ];
}

function shortfall(topology: Topology, lost: RegionName | null): Shortage | null {
  const capacity = new Map(
    topology.regions.filter(({ name }) => name !== lost).map(({ name, capacityRps }) => [name, capacityRps]),
  );
  const demands = topology.services
    .map(({ name, demandRps, endpoints }) => ({
      service: name,
      rps: demandRps,
      regions: endpoints.map(({ region }) => region).filter((region) => region !== lost),
    }))
    // Without any place it is told by `sovereignty-unreachable`.
    .filter(({ regions }) => regions.length > 0);
  return shortage(demands, capacity);
}

function short(missing: Shortage, lost: RegionName | null): Finding {
  const { services, regions, demandRps, capacityRps } = missing;
  const when = lost === null ? "with every region there" : `without ${lost}`;
  const lackRps = demandRps - capacityRps;
  return {
    code: "capacity-short",
    severity: "error",
    subject: lost === null ? `Service/${services[0]}` : `Region/${lost}`,
    sentence: `${when}, ${services.join(" and ")} ${services.length === 1 ? "needs" : "need"} ${demandRps} requests/s and ${regions.join(" and ")} can carry ${capacityRps}: ${lackRps} too few`,
    numbers: { demandRps, capacityRps, lackRps },
    advice: `add ${lackRps} requests/s there, or another region; else the lowest tier is shed`,
  };
}

function domains(topology: Topology): readonly Finding[] {
  const groups = new Map<string, RegionName[]>();
  for (const { name, failureDomains } of topology.regions) {
    for (const [kind, domain] of Object.entries(failureDomains)) {
      const key = `${kind}: ${domain}`;
      groups.set(key, [...(groups.get(key) ?? []), name]);
    }
  }
  const votes = topology.regions.length;
  const quorum = Math.floor(votes / 2) + 1;
  return [...groups].flatMap(([domain, regions]): readonly Finding[] => {
    if (regions.length < 2) return [];
    const left = votes - regions.length;
    const subject = `Region/${regions[1]}`;
    const together = `${regions.join(" and ")} share ${domain}`;
    const numbers = { regions: regions.length, votesLeft: left, quorum };
    const advice = `move one of them to another ${domain.slice(0, domain.indexOf(":"))}`;
    const orphans = topology.dataStores.filter(
      ({ members }) =>
        new Set(members.map(({ region }) => region)).size > 1 &&
        members.every(({ region, promotable }) => !promotable || regions.includes(region)),
    );
    const found: Finding[] = orphans.map(({ name }) => ({
      code: "shared-domain-data",
      severity: "error",
      subject: `DataStore/${name}`,
      sentence: `${together}, and every member that may become primary is there: they fail together`,
      numbers,
      advice,
    }));
    if (left < quorum) {
      const sentence = `${together}: when it fails, ${left} of ${votes} votes are left and ${quorum} are needed, so that nothing is failed over`;
      found.push({ code: "shared-domain-majority", severity: "error", subject, sentence, numbers, advice });
    } else if (found.length === 0) {
      const sentence = `${together}: they fail together; a majority and a copy of everything are left`;
      found.push({ code: "shared-domain", severity: "warning", subject, sentence, numbers, advice });
    }
    return found;
  });
}
