/** Names, listeners, endpoints and journeys of which there may be one only, told with both places. */
import type { Address } from "../model/topology.ts";
import type { Breach, Draft, Drafts } from "./draft.ts";
import type { KindName } from "./language.ts";
import type { Path } from "./read.ts";
import { quote } from "./scalar.ts";
import type { Rough } from "./shape.ts";
import { formatAddress, hostKey, parseOrigin } from "./units.ts";

export function doubles(drafts: Drafts): readonly Breach[] {
  return [
    ...(["Topology", "Region", "DataStore", "Service"] as const).flatMap((kind) =>
      repeated(namesOf(drafts, kind)),
    ),
    // One list of names: a response tells by name which data plane it came through.
    ...repeated([...namesOf(drafts, "Edge"), ...namesOf(drafts, "Router")]),
    ...drafts.Topology.slice(1).map((draft) => second(drafts, draft)),
    ...repeated(membersOf(drafts)),
    ...repeated(addressesOf(drafts)),
    ...drafts.Service.flatMap((service) =>
      [endpointsOf, urlsOf, journeysOf, classesOf, levelsOf].flatMap((of) => repeated(of(service))),
    ),
  ];
}

/** Something of which there may be one only. */
interface Unique {
  readonly draft: Draft<KindName>;
  readonly path: Path;
  readonly key: string;
  /** As in `port 127.0.0.1:5401`. */
  readonly what: string;
  readonly hint: string;
}

function repeated(uniques: readonly Unique[]): readonly Breach[] {
  const seen = new Map<string, Unique>();
  const found: Breach[] = [];
  for (const unique of uniques) {
    const first = seen.get(unique.key);
    if (first === undefined) seen.set(unique.key, unique);
    else {
      const { draft, path, what, hint } = unique;
      const label = `${what} is taken here first`;
      found.push({ draft, path, message: `${what} is taken twice`, hint, first: { ...first, label } });
    }
  }
  return found;
}

function namesOf(drafts: Drafts, kind: KindName): readonly Unique[] {
  return drafts[kind].flatMap((draft) =>
    draft.name === undefined
      ? []
      : [
          {
            draft,
            path: ["metadata", "name"],
            key: draft.name,
            what: `the name ${quote(draft.name)} of a ${kind}`,
            hint: "give each its own name",
          },
        ],
  );
}

function second(drafts: Drafts, draft: Draft<"Topology">): Breach {
  const first = { draft: drafts.Topology[0]!, path: ["kind"], label: "the first Topology" };
  return { draft, path: ["kind"], message: "found a second Topology", hint: "one file describes one", first };
}

function membersOf(drafts: Drafts): readonly Unique[] {
  return drafts.DataStore.flatMap((draft) =>
    (draft.spec.members ?? []).flatMap((member, index) =>
      member?.name === undefined
        ? []
        : [
            {
              draft,
              path: ["spec", "members", index, "name"],
              key: member.name,
              what: `the member name ${quote(member.name)}`,
              hint: "members are unique within the topology, also across data stores",
            },
          ],
    ),
  );
}

function addressesOf(drafts: Drafts): readonly Unique[] {
  const all: Unique[] = [];
  const add = (draft: Draft<KindName>, path: Path, address: Rough<Address> | null | undefined) => {
    if (address?.host === undefined || address.port === undefined) return;
    const text = formatAddress({ host: address.host, port: address.port });
    const key = formatAddress({ host: hostKey(address.host), port: address.port });
    all.push({
      draft,
      path,
      key,
      what: `the address ${text}`,
      hint: "each listener needs a port of its own",
    });
  };
  for (const draft of drafts.Region) add(draft, ["spec", "agent"], draft.spec.agent);
  for (const draft of drafts.DataStore) {
    for (const [index, member] of (draft.spec.members ?? []).entries()) {
      add(draft, ["spec", "members", index, "address"], member?.address);
      add(draft, ["spec", "members", index, "gate"], member?.gate);
    }
  }
  for (const draft of drafts.Edge) {
    add(draft, ["spec", "http"], draft.spec.http);
    add(draft, ["spec", "admin"], draft.spec.admin);
    for (const [store, address] of Object.entries(draft.spec.tcp ?? {})) {
      add(draft, ["spec", "tcp", store], address);
    }
    add(draft, ["spec", "tls", "listen"], draft.spec.tls?.listen);
  }
  for (const draft of drafts.Router) add(draft, ["spec", "plane", "haproxy", "http"], draft.spec.plane?.http);
  // Two services may stand behind one ingress; none may stand on a listener of ours.
  const ours = new Set(all.map((unique) => unique.key));
  for (const draft of drafts.Service) {
    for (const [index, endpoint] of (draft.spec.endpoints ?? []).entries()) {
      const address = endpoint?.url === undefined ? null : parseOrigin(endpoint.url);
      if (address && ours.has(formatAddress({ ...address, host: hostKey(address.host) }))) {
        add(draft, ["spec", "endpoints", index, "url"], address);
      }
    }
  }
  return all;
}

function endpointsOf(draft: Draft<"Service">): readonly Unique[] {
  return (draft.spec.endpoints ?? []).flatMap((endpoint, index) =>
    endpoint?.region === undefined
      ? []
      : [
          {
            draft,
            path: ["spec", "endpoints", index, "region"],
            key: endpoint.region,
            what: `an endpoint in region ${quote(endpoint.region)}`,
            hint: "a service has one endpoint a region; balance instances behind it",
          },
        ],
  );
}

function urlsOf(draft: Draft<"Service">): readonly Unique[] {
  return (draft.spec.endpoints ?? []).flatMap((endpoint, index) =>
    endpoint?.url === undefined
      ? []
      : [
          {
            draft,
            path: ["spec", "endpoints", index, "url"],
            key: endpoint.url.toLowerCase(),
            what: `the endpoint ${endpoint.url}`,
            hint: "one instance in two regions would not survive the loss of either",
          },
        ],
  );
}

function journeysOf(draft: Draft<"Service">): readonly Unique[] {
  return (draft.spec.journeys ?? []).flatMap((journey, index) =>
    journey?.name === undefined
      ? []
      : [
          {
            draft,
            path: ["spec", "journeys", index, "name"],
            key: journey.name,
            what: `the journey ${quote(journey.name)}`,
            hint: "journeys are unique within their service",
          },
        ],
  );
}

function classesOf(draft: Draft<"Service">): readonly Unique[] {
  return (draft.spec.classes ?? []).flatMap((each, index) =>
    each?.name === undefined
      ? []
      : [
          {
            draft,
            path: ["spec", "classes", index, "name"],
            key: each.name,
            what: `the class ${quote(each.name)}`,
            hint: "classes are unique within their service",
          },
        ],
  );
}

function levelsOf(draft: Draft<"Service">): readonly Unique[] {
  return (draft.spec.levels?.steps ?? []).flatMap((step, index) =>
    step?.name === undefined
      ? []
      : [
          {
            draft,
            path: ["spec", "levels", "steps", index, "name"],
            key: step.name,
            what: `the level ${quote(step.name)}`,
            hint: "levels are unique within their service",
          },
        ],
  );
}
