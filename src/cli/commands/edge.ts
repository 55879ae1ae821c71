/** `holdfast edge`: the data plane of a region. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { loadOrMakeSecrets } from "../../adapters/adapters.ts";
import { become, writeEdgeConfig } from "../../agent/units.ts";
import { exit, exitWith } from "../exit.ts";
import { topologyOrComplain } from "../topology-file.ts";

interface Options {
  readonly topology: string;
  readonly region: string;
  readonly edge?: string;
  readonly clients?: string;
  readonly stateDir: string;
  readonly secretsDir: string;
}

export function register(program: Command): void {
  const edge = program.command("edge").description("the data plane: HTTP, TCP, and the gates beside members");
  edge
    .command("run")
    .description("run one edge; it serves from its disk at once, with or without agents")
    .requiredOption("--topology <file>", "topology file")
    .requiredOption("--region <name>", "region that it is in")
    .option("--edge <name>", "which one, where a region has several")
    .option("--clients <file>", "how clients are served: TLS, HTTP/2, access log, limits (JSON)")
    .option("--state-dir <folder>", "where its configuration is written", "/var/lib/holdfast")
    .option("--secrets-dir <folder>", "token, keys and passwords", "/etc/holdfast/secrets")
    .addHelpText("after", "\nExample:\n  holdfast edge run --topology holdfast.yaml --region eu-west")
    .action((options: Options) => {
      const loaded = topologyOrComplain(options.topology);
      if (!loaded) return;
      let config: string;
      try {
        config = writeEdgeConfig(
          { ...options, topology: loaded.topology },
          loadOrMakeSecrets(options.secretsDir),
          options.edge ?? null,
          options.clients === undefined ? {} : readClients(options.clients),
        );
      } catch (error) {
        process.stderr.write(`cannot run an edge: ${(error as Error).message}\n`);
        return exitWith(exit.invalid);
      }
      become([fileURLToPath(new URL("../../edge/main.ts", import.meta.url)), "--config", config]);
    });
}

/** What is in it is judged by the edge itself, which knows its configuration. */
function readClients(path: string): object {
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch (error) {
    throw new Error(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  throw new Error(`${path} is no JSON object such as {"tls": {...}, "accessLog": {...}}`);
}
