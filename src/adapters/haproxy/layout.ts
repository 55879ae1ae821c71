/**
 * What one HAProxy is configured with once: a slot for every target that a table may name, and the rules that read the map.
 *
 * A failover changes states of slots and entries of the map, never this text: a reload takes 53 ms and resets connections
 * (FACTS), and can fail.
 */
import type { EdgeName, RegionName, ServiceName } from "../../core/model/id.ts";
import type { Target } from "../../core/model/routing.ts";
import type { Address } from "../../core/model/topology.ts";

export interface HaproxyLayout {
  /** Told in every response. */
  readonly name: EdgeName;
  /** The region that it stands in: its servers come first. */
  readonly region: RegionName;
  readonly bind: Address;
  /** For the runtime socket, the map and the states of servers; must exist. Paths in it must not hold spaces. */
  readonly folder: string;
  readonly services: readonly ServiceLayout[];
}

export interface ServiceLayout {
  readonly name: ServiceName;
  /** Every target that a table of this topology may name, each with a slot of its own. */
  readonly targets: readonly Target[];
  readonly tryTimeoutMs: number;
}

export interface Slot {
  readonly backend: string;
  readonly server: string;
  readonly target: Target;
}

export const socketPathOf = (layout: HaproxyLayout): string => `${layout.folder}/haproxy.sock`;
export const mapPathOf = (layout: HaproxyLayout): string => `${layout.folder}/holdfast.map`;
export const statePathOf = (layout: HaproxyLayout): string => `${layout.folder}/servers.state`;

export function slotsOf(layout: HaproxyLayout): readonly Slot[] {
  return layout.services.flatMap(({ name, targets }) =>
    targets.map((target, at) => ({
      backend: backendOf(name),
      server: plain(`${target.region}-${at + 1}`),
      target,
    })),
  );
}

export function backendOf(service: ServiceName): string {
  return plain(`service-${service}`);
}

/**
 * The configuration to begin with. It serves nobody until a table is applied: every slot begins in maintenance.
 * No `maxconn`: HAProxy computes it from the limit of open files, and does not start with one that is above.
 */
export function configText(layout: HaproxyLayout): string {
  const map = mapPathOf(layout);
  return `# Written by Holdfast. Routes change through the runtime socket, not here.
global
  stats socket ${socketPathOf(layout)} mode 600 level admin
  server-state-file ${statePathOf(layout)}
  spread-checks 20

defaults
  mode http
  timeout connect 500ms
  timeout client 60s
  timeout http-request 20s
  timeout http-keep-alive 65s
  load-server-state-from-file global
  option redispatch 1
  retries 3

frontend http
  bind ${layout.bind.host}:${layout.bind.port}
  option forwardfor
  unique-id-format %[uuid()]
  http-request set-var(txn.service) ${serviceExpression(layout)}
  http-request set-var(txn.mode) var(txn.service),map(${map},off)
  http-request set-var(txn.id) req.hdr(x-request-id)
  http-request set-var(txn.id) unique-id unless { var(txn.id) -m reg ^[A-Za-z0-9._~:/+=-]{8,128}$ }
  http-request set-header x-request-id %[var(txn.id)]
  http-request del-header ^x-holdfast- -m reg
  acl is-safe method GET HEAD OPTIONS
  acl is-repeatable method GET HEAD OPTIONS PUT DELETE
  acl has-key req.hdr(idempotency-key) -m found
  http-request return status 503 content-type application/problem+json hdr retry-after 1 string "${problem("HOLDFAST_OFF")}" if { var(txn.mode) -m str off static }
  http-request return status 503 content-type application/problem+json hdr retry-after 1 string "${problem("HOLDFAST_READ_ONLY")}" if { var(txn.mode) -m str ro } !is-safe
  http-request disable-l7-retry if !is-repeatable !has-key
  http-response set-header x-request-id %[var(txn.id)]
  http-response set-header x-holdfast-edge ${plain(layout.name)}
  http-response set-header x-holdfast-generation %[str(generation),map(${map},0)]
  use_backend %[var(txn.service),regsub(/,-)] if { var(txn.service),map(${map}) -m found }

${layout.services.map((service) => backendText(layout, service)).join("\n")}`;
}

/** 400 checks a second of all targets together, at most: a thousand services with two each would be asked 4,000 times. */
function checkEveryMs(layout: HaproxyLayout): number {
  return Math.max(500, Math.ceil((slotsOf(layout).length / 400) * 1000));
}

function backendText(layout: HaproxyLayout, service: ServiceLayout): string {
  const slots = slotsOf(layout).filter(({ backend }) => backend === backendOf(service.name));
  const health = service.targets[0]?.healthPath ?? "/";
  const first = `str(first/${service.name}),map(${mapPathOf(layout)},none)`;
  return `backend ${backendOf(service.name)}
  timeout server ${Math.ceil(service.tryTimeoutMs)}ms
  balance roundrobin
  option httpchk GET ${health}
  default-server check inter ${checkEveryMs(layout)}ms fall 3 rise 2 disabled
  retry-on conn-failure empty-response response-timeout junk-response 502 504
  http-request set-var(txn.first) ${first}
${slots.map(({ server }) => `  use-server ${server} if { var(txn.first) -m str ${server} }`).join("\n")}
${slots.map(({ server }) => `  http-response set-header x-holdfast-region ${server.replace(/-\d+$/, "")} if { srv_name -m str ${server} }`).join("\n")}
${slots.map(({ server, target }) => `  server ${server} ${new URL(target.url).host}`).join("\n")}
`;
}

/**
 * As `core/traffic/service`: one service gets everything, else the first label of the host, else of the path. Which services
 * there are is in the map, with an entry for each: a line of the configuration takes 64 words, and a rule for each of a
 * thousand services would be asked one after the other.
 */
function serviceExpression(layout: HaproxyLayout): string {
  const [only, ...others] = layout.services;
  if (only && others.length === 0) return `str(service/${only.name})`;
  return `req.hdr(host),field(1,:),field(1,.),lower,regsub(^,service/)
  http-request set-var(txn.service) path,field(2,/),regsub(^,service/) unless { var(txn.service),map(${mapPathOf(layout)}) -m found }`;
}

function problem(code: string): string {
  return `{\\"type\\":\\"urn:holdfast:problem:${code}\\",\\"title\\":\\"The service cannot answer now\\",\\"status\\":503,\\"code\\":\\"${code}\\"}`;
}

/** A name that HAProxy takes: letters, digits, `-` and `_`. */
function plain(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9_-]/g, "_");
}
