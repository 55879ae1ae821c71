/** The words of `holdfast.yaml`: six kinds, their fields, what each means and what stands there by default. */
import { servingFields } from "./edge.ts";
import {
  byDefault,
  choice,
  duration,
  list,
  map,
  object,
  optional,
  required,
  type ValueOf,
  variant,
} from "./shape.ts";
import { requestLimits, trafficFields } from "./traffic.ts";

export const apiVersion = "holdfast/v1";

const name = { kind: "name" } as const;
const region = { kind: "reference", to: "Region" } as const;
const dataStore = { kind: "reference", to: "DataStore" } as const;
const jurisdiction = { kind: "reference", to: "Jurisdiction" } as const;
const flag = { kind: "boolean" } as const;
const address = (example: string) => ({ kind: "address", example }) as const;
const path = (example: string) => ({ kind: "path", example }) as const;
const origin = (example: string) => ({ kind: "origin", example }) as const;
const integer = (min: number, max: number, example: number) =>
  ({ kind: "integer", min, max, example }) as const;
const amount = (max: number, example: number) => ({ kind: "number", min: 0, max, example }) as const;
const httpPath = {
  kind: "text",
  pattern: "^/[\\x21-\\x7e]*$",
  fits: "a path that begins with /",
  example: "/healthz",
} as const;
const headerName = {
  kind: "text",
  pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
  fits: "a header name (RFC 9110 section 5.1)",
  example: "Accept",
} as const;
const headerValue = {
  kind: "text",
  pattern: "^[\\x20-\\x7e\\t]*$",
  fits: "printable characters",
  example: "application/json",
} as const;
const method = {
  kind: "text",
  pattern: "^[A-Z]{3,16}$",
  fits: "an HTTP method in capitals",
  example: "GET",
} as const;
const pathPattern = {
  kind: "text",
  pattern: "^/[\\x21\\x22\\x24-\\x3e\\x40-\\x7e]{0,255}$",
  fits: "a path without its query, of which `*` stands for any characters",
  example: "/orders/*",
} as const;
// As keys of a structured field (RFC 9651): edges send flags to services in one.
const flagName = {
  kind: "text",
  pattern: "^[a-z][a-z0-9_.-]{0,62}$",
  fits: "small letters, digits, _, - and .",
  example: "recommendations",
} as const;
const mediaType = {
  kind: "text",
  pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+/[\\x20-\\x7e]{1,100}$",
  fits: "a media type",
  example: "application/json",
} as const;
const body = { kind: "text", fits: "text", example: "{}" } as const;

const topology = object({
  mode: byDefault(
    choice("observe", "advise", "approve", "auto"),
    "auto",
    "What agents may do by themselves: watch only, say what they would have done, wait for a person, or act.",
  ),
  leaseProfile: byDefault(
    choice("fast", "balanced", "cautious"),
    "balanced",
    "How long the right to write lasts: 1.5 s (one continent, tuned store), 5 s, or 15 s (noisy links). Longer: fewer false alarms, longer outage.",
  ),
  store: byDefault(
    variant({
      embedded: object({
        path: byDefault(path("state/store.db"), "store.db", "SQLite file; all regions on one machine."),
      }),
      etcd: object({
        endpoints: required(
          list(origin("http://10.1.0.5:2379"), 1),
          "Client URLs of an etcd cluster over three or more sites.",
        ),
      }),
    }),
    "{ embedded: {} }",
    "The memory that all regions share.",
  ),
  failback: byDefault(
    object({
      mode: byDefault(
        choice("manual", "auto"),
        "manual",
        "Whether a returned region is given its role back unasked.",
      ),
      stableFor: byDefault(duration("10m", 0), "10m", "How long the target must have been healthy before."),
      perDayMax: byDefault(integer(0, 100, 1), "1", "Automatic failbacks a day, at most."),
    }),
    "{}",
    "The way back after a failover.",
  ),
});

const regionKind = object({
  jurisdiction: required(name, "Where its data legally is, such as `eu`."),
  role: byDefault(
    choice("active", "standby", "witness"),
    "active",
    "`active` serves, `standby` serves when asked to, `witness` only watches and votes.",
  ),
  failureDomains: byDefault(
    map(name, name),
    "{}",
    "Kind of failure domain to its name, such as `power: grid-north`. Regions with the same pair fail together.",
  ),
  capacity: byDefault(
    object({
      requestsPerSecond: byDefault(amount(1e9, 2000), "0", "What the region can serve; 0: not declared."),
    }),
    "{}",
    "What the region can carry.",
  ),
  agent: required(address("10.1.0.5:7400"), "Where its agent listens: API, console, peers."),
});

const dataStoreKind = object({
  engine: byDefault(choice("postgresql"), "postgresql", "What keeps the data."),
  replication: byDefault(
    variant({
      synchronous: object({
        acknowledgements: byDefault(
          integer(1, 16, 1),
          "1",
          "Standbys that must have flushed a commit before it is acknowledged.",
        ),
        strict: byDefault(
          flag,
          "false",
          "`true`: writes stop when fewer standbys than that are left. `false`: redundancy is given up, recorded and announced.",
        ),
      }),
      asynchronous: object({
        rpo: required(
          duration("5s"),
          "How old the newest transaction on the best standby may be before writes wait.",
        ),
      }),
    }),
    "{ synchronous: {} }",
    "`synchronous`: no acknowledged write may be lost. `asynchronous`: at most `rpo` of them.",
  ),
  sovereignty: byDefault(
    object({
      jurisdictions: byDefault(list(jurisdiction), "[]", "Where its rows may be; empty: anywhere."),
    }),
    "{}",
    "The hard limit on where its rows may be.",
  ),
  seeding: byDefault(
    object({
      megabytesPerSecondMax: byDefault(
        amount(1000, 20),
        "0",
        "What a standby that is made anew, or rewound, may take of the primary's network and disk, 0.04 to 1000; 0: all there is. Where regions share a narrow link, a copy that takes all of it costs the primary its lease.",
      ),
    }),
    "{}",
    "How a new standby gets its copy.",
  ),
  backups: optional(
    object({
      region: required(
        region,
        "Where they are taken, kept and tested: on the host of its member, since PostgreSQL lets others copy nothing.",
      ),
      folder: required(
        path("backups"),
        "Folder on that host, best on a disk of its own; each data store has one of its name in it.",
      ),
      maxAge: byDefault(duration("26h"), "26h", "How old the newest may be. Beyond it readiness is red."),
      testMaxAge: byDefault(
        duration("8d"),
        "8d",
        "How long ago one may have passed a restore test for the last time. Beyond it readiness is red.",
      ),
    }),
    "Base backups that there must be, made by `holdfast backup`. Standbys are none: they replay a DROP TABLE too.",
  ),
  members: required(
    list(
      object({
        name: required(name, "Unique within the topology."),
        region: required(region, "Where it runs. Not a witness."),
        address: required(
          address("10.1.0.6:5432"),
          "Where PostgreSQL itself listens, for replication peers and its own agent.",
        ),
        gate: required(address("10.1.0.6:6432"), "Where clients enter: the gate beside the member."),
        dataDir: required(path("data/pg-west"), "Its data folder."),
        promotable: byDefault(flag, "true", "Whether it may become primary."),
      }),
      1,
    ),
    "Its copies in the order of preference; the first is made the first primary.",
  ),
});

const trafficClass = object({
  name: required(name, "Unique within the service; `other` is taken for what no class matches."),
  match: byDefault(
    object({
      methods: byDefault(list(method), "[]", "HTTP methods; empty: any."),
      paths: byDefault(
        list(pathPattern),
        "[]",
        "Paths without their query; `*` stands for any characters. Empty: any.",
      ),
      header: optional(
        object({
          name: required(headerName, "Which one. Clients can send any: let a gateway of yours set it."),
          value: optional(headerValue, "Its exact value; absent: any."),
        }),
        "A header that it carries.",
      ),
    }),
    "{}",
    "What belongs to it: all conditions hold. The first class that matches decides.",
  ),
  priority: byDefault(
    choice("critical", "standard", "sheddable"),
    "standard",
    "Who goes first when there is no room: `sheddable`, then `standard`.",
  ),
  latencyTarget: optional(
    duration("300ms"),
    "Later answers are counted; a request that waited so long for room is refused.",
  ),
  divertTo: byDefault(list(region), "[]", "Where a level that diverts it sends it."),
});

const levels = object({
  automatic: byDefault(
    integer(0, 9, 1),
    "0",
    "The highest level that an edge takes by itself when the regions left cannot carry the load; 0: none.",
  ),
  flags: byDefault(map(flagName, flag), "{}", "Features of the service, and what they are at level 0."),
  page: optional(
    object({
      status: byDefault(integer(200, 599, 200), "200", "Its status."),
      contentType: byDefault(mediaType, "text/html; charset=utf-8", "Its media type."),
      body: required(body, "What people are shown."),
    }),
    "What `static` answers where no kept answer is; absent: 503.",
  ),
  steps: byDefault(
    list(
      object({
        name: required(name, "Unique within the service."),
        mode: optional(
          choice("rw", "ro", "static"),
          "`rw`: all. `ro`: safe methods only. `static`: kept answers, then the page. Absent: as the level below.",
        ),
        flags: byDefault(map(flagName, flag), "{}", "Features that it changes."),
        classes: byDefault(
          map(name, choice("serve", "queue", "refuse", "stale", "divert")),
          "{}",
          "Class to what becomes of it: served, made to wait where it would be refused, refused, answered from what is kept, or sent to `divertTo`.",
        ),
        saves: optional(
          { kind: "share", example: "30%" },
          "Estimated share of the load at level 0 that it saves. Absent: as the level below.",
        ),
      }),
    ),
    "[]",
    "Level 1, 2, ...: each leaves more out, and what it does not name is as in the level below.",
  ),
});

const service = object({
  tier: byDefault(integer(0, 9, 1), "1", "0 matters most."),
  objectives: required(
    object({
      availability: required({ kind: "share", example: "99.99%" }, "Share of requests that succeed."),
      rto: required(duration("15s"), "Recovery time objective."),
      rpo: required(duration("0s", 0), "Recovery point objective; `0s`: nothing acknowledged may be lost."),
    }),
    "What is promised to those who use it.",
  ),
  dataStores: byDefault(list(dataStore), "[]", "Data stores that its unsafe requests write to."),
  sovereignty: byDefault(
    object({
      regions: byDefault(list(region), "[]", "Regions that may serve it; empty: any."),
      jurisdictions: byDefault(list(jurisdiction), "[]", "Jurisdictions that may serve it; empty: any."),
      requests: optional(requestLimits, "Where its requests may be served, by whose they are."),
    }),
    "{}",
    "The hard limit on where it is served: a region must pass both lists.",
  ),
  demand: byDefault(
    object({
      requestsPerSecond: byDefault(amount(1e9, 600), "0", "What it needs at its peak; 0: not declared."),
    }),
    "{}",
    "What the service needs.",
  ),
  endpoints: required(
    list(
      object({
        region: required(region, "Where it runs: an allowed region, once."),
        url: required(origin("http://10.1.0.7:8080"), "Scheme, host and port, no path."),
        healthPath: byDefault(httpPath, "/healthz", "Answers 200 while the instance can serve."),
        weight: byDefault(amount(1_000_000, 1), "1", "Share of traffic relative to the others, 0 or more."),
      }),
      1,
    ),
    "Its instances, one a region.",
  ),
  journeys: byDefault(
    list(
      object({
        name: required(name, "Unique within the service."),
        every: byDefault(duration("5s", 100), "5s", "How often each region runs it."),
        timeout: byDefault(duration("2s"), "2s", "For all steps together; not more than `every`."),
        steps: required(
          list(
            object({
              method: byDefault(method, "GET", "HTTP method."),
              path: required(httpPath, "Path and query."),
              headers: byDefault(map(headerName, headerValue), "{}", "Headers to send."),
              body: optional(body, "Body to send; none when absent."),
              expectStatus: byDefault(integer(100, 599, 200), "200", "The one status that passes."),
            }),
            1,
          ),
          "Requests in order; all must pass.",
        ),
      }),
    ),
    "[]",
    "Synthetic journeys, run from every region through its edge.",
  ),
  rules: byDefault(
    object({
      holdMax: byDefault(
        duration("10s", 0),
        "10s",
        "How long a held request waits, then 503 with Retry-After.",
      ),
      holdMaxCount: byDefault(
        integer(0, 1_000_000, 1000),
        "1000",
        "Requests held at once by one edge, at most.",
      ),
      tryTimeout: byDefault(duration("2s"), "2s", "One try, from sending to the head of the response."),
      retryBudget: byDefault({ kind: "share", example: "20%" }, "20%", "Repeats as a share of the requests."),
      staleMax: byDefault(
        duration("1m", 0),
        "0s",
        "How old content may be that is served when all targets are bad; `0s`: none.",
      ),
      ttl: byDefault(duration("5s", 0, 86_400_000), "5s", "TTL in DNS answers."),
    }),
    "{}",
    "How edges treat its requests while something is changing.",
  ),
  ...trafficFields,
  classes: byDefault(
    list(trafficClass),
    "[]",
    "Kinds of requests that matter differently, the first that matches decides.",
  ),
  levels: byDefault(
    levels,
    "{}",
    "What is left out when capacity is short: `holdfast degrade`, or an edge by itself.",
  ),
});

const edge = object({
  region: required(region, "Where it runs."),
  http: required(address("10.1.0.8:8080"), "Where people's HTTP requests arrive."),
  admin: required(address("10.1.0.8:7480"), "Where its agent applies tables and reads state."),
  tcp: byDefault(
    map(dataStore, address("10.1.0.8:5432")),
    "{}",
    "A TCP listener for each data store: connects to the gate of the current writer.",
  ),
  stateDir: required(path("state/edge-west"), "Folder in which the last routing tables are kept."),
  ...servingFields,
});

const router = object({
  region: required(region, "Where it runs, on the machine of the region's agent."),
  plane: required(
    variant({
      haproxy: object({
        http: required(address("10.1.0.8:8081"), "Where people's HTTP requests arrive."),
        stateDir: required(
          path("state/haproxy-west"),
          "Folder that it shares with its agent: generated configuration, runtime socket, map, states, last table.",
        ),
      }),
    }),
    "What it is; what HAProxy cannot do of what a table asks for is listed by `holdfast routers`.",
  ),
});

export interface Kind {
  readonly doc: string;
  readonly spec: ReturnType<typeof object>;
}

export const kinds = {
  Topology: {
    doc: "What holds for the whole; exactly one a file.",
    spec: topology,
  },
  Region: {
    doc: "A place that serves, or only votes. Their order in the file is the order of the failover plan.",
    spec: regionKind,
  },
  DataStore: { doc: "Replicated data and its copies.", spec: dataStoreKind },
  Service: { doc: "What people use, and what they were promised.", spec: service },
  Edge: { doc: "A data plane: proxies requests to where they may and can be served.", spec: edge },
  Router: {
    doc: "A data plane that is not ours: the agent of its region hands it the same tables as our edges.",
    spec: router,
  },
} as const satisfies Readonly<Record<string, Kind>>;

export type KindName = keyof typeof kinds;
export const kindNames = Object.keys(kinds) as readonly KindName[];

export const metadata = object({ name: required(name, "Unique among objects of its kind.") });

/** The decoded `spec` of each kind. */
export type SpecOf<K extends KindName> = ValueOf<(typeof kinds)[K]["spec"]>;

/** The whole document of a kind, as one shape. */
export function documentShape(kind: KindName) {
  return object({
    apiVersion: required(choice(apiVersion), "Version of this language."),
    kind: required(choice(kind), kinds[kind].doc),
    metadata: required(metadata, "Which one it is."),
    spec: required(kinds[kind].spec, "What is wanted."),
  });
}
