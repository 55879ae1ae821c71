/** The proxy of a peer's region: to the writer, wherever it is, and to the HTTP service, the region's own first. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type PeerLab, type PeerRegion, ports } from "./peer-lab.ts";

/** How a proxy asks who is primary, and how soon it believes. */
export interface Checks {
  /** `patroni`: its REST API, as its manual shows. `postgres`: the server itself whether it is in recovery. */
  readonly ask: "patroni" | "postgres";
  /** `manual`: as Patroni's manual has it. `fast`: so that the proxy is not what one waits for. */
  readonly pace: "manual" | "fast";
}

const paces: Readonly<Record<Checks["pace"], string>> = {
  manual: "inter 3s fall 3 rise 2",
  fast: "inter 500ms fall 2 rise 1",
};

export function addProxy(lab: PeerLab, region: PeerRegion, checks: Checks) {
  const file = join(region.dir, "haproxy.cfg");
  writeFileSync(file, configFor(lab.regions, region, checks), { mode: 0o644 });
  // It tells nothing when it is ready; who needs it asks until it answers.
  const command = { program: "haproxy", args: ["-db", "-f", file], readyText: "" };
  return lab.add(region, "edge", "haproxy", command);
}

function configFor(regions: readonly PeerRegion[], own: PeerRegion, { ask, pace }: Checks): string {
  const checkPort = ask === "patroni" ? ` port ${ports.patroni}` : "";
  return `global
  maxconn 2000
defaults
  timeout connect 1s
  timeout client 30m
  timeout server 30m
  timeout check ${pace === "fast" ? "500ms" : "5s"}
listen writer
  bind ${own.address}:${ports.writer}
  mode tcp
  ${(ask === "patroni" ? askPatroni : askPostgres).join("\n  ")}
  default-server ${paces[pace]} on-marked-down shutdown-sessions
${regions.map(({ member, address }) => `  server ${member} ${address}:${ports.postgres} check${checkPort}`).join("\n")}
listen service
  bind ${own.address}:${ports.http}
  mode http
  option redispatch
  option httpchk GET /healthz
  default-server ${paces[pace]} on-marked-down shutdown-sessions
${regions
  .map(
    (one) =>
      `  server ${one.name} ${one.address}:${ports.service} check${one.name === own.name ? "" : " backup"}`,
  )
  .join("\n")}
`;
}

const askPatroni = ["option httpchk OPTIONS /primary", "http-check expect status 200"];

/** PostgreSQL's protocol 3.0 by hand: a startup, ReadyForQuery, a query, and a row that holds `f`. */
const askPostgres = [
  "option tcp-check",
  "tcp-check connect",
  `tcp-check send-binary ${startup({ user: "app", database: "orders", application_name: "haproxy-check" })}`,
  "tcp-check expect binary 5a0000000549",
  `tcp-check send-binary ${query("SELECT pg_is_in_recovery()")}`,
  "tcp-check expect binary 440000000b00010000000166",
];

function startup(parameters: Readonly<Record<string, string>>): string {
  const text = `${Object.entries(parameters).flat().join("\0")}\0\0`;
  const packet = Buffer.alloc(8 + text.length);
  packet.writeInt32BE(packet.length, 0);
  packet.writeInt32BE(196_608, 4);
  packet.write(text, 8, "latin1");
  return packet.toString("hex");
}

function query(sql: string): string {
  const packet = Buffer.alloc(6 + sql.length);
  packet.write("Q", 0, "latin1");
  packet.writeInt32BE(packet.length - 1, 1);
  packet.write(`${sql}\0`, 5, "latin1");
  return packet.toString("hex");
}
