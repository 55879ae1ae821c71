/** What this machine lacks to hold the peers, and how to mend it. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { whatIsMissing } from "../../src/lab/net/requirements.ts";
import { findTool } from "../../src/lab/net/tool.ts";
import type { System } from "./system.ts";

/** Debian's: pg_auto_failover is an extension of this version, and all systems get the same one. */
export const postgresPrograms = "/usr/lib/postgresql/15/bin";

const tools: Readonly<Record<System["family"], Readonly<Record<string, string>>>> = {
  holdfast: {},
  patroni: { patroni: "patroni", haproxy: "haproxy" },
  pg_auto_failover: {
    pg_autoctl: "pg-auto-failover-cli and postgresql-15-auto-failover",
    haproxy: "haproxy",
  },
};

/** Empty: nothing. Else one sentence each. */
export function whatPeersMiss(systems: readonly System[]): readonly string[] {
  const missing = [...whatIsMissing()];
  if (!existsSync(join(postgresPrograms, "postgres")))
    missing.push(`there is no PostgreSQL in ${postgresPrograms} (Debian 12: postgresql-15)`);
  for (const family of new Set(systems.map((system) => system.family)))
    for (const [tool, parts] of Object.entries(tools[family]))
      if (findTool(tool) === null) missing.push(`${tool} is not installed (Debian: ${parts})`);
  return missing;
}

/** What was compared, as the programs say themselves; empty for what is not installed. */
export function versions(): Readonly<Record<string, string>> {
  const ask = (tool: string, ...args: string[]) => {
    const { stdout } = spawnSync(findTool(tool) ?? tool, args, { encoding: "utf8", timeout: 20_000 });
    return /\d+(\.\d+)+/.exec(stdout ?? "")?.[0] ?? "";
  };
  return {
    PostgreSQL: ask(join(postgresPrograms, "postgres"), "--version"),
    Patroni: ask("patroni", "--version"),
    pg_auto_failover: ask("pg_autoctl", "version"),
    etcd: ask("etcd", "--version"),
    HAProxy: ask("haproxy", "-v"),
    "Node.js": process.versions.node,
  };
}
