/** `holdfast agent`: one region's agent, from its parts to a clean end. */

import { join } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { exit, exitWith } from "../exit.ts";
import { describeFailure } from "../failure.ts";
import { topologyOrComplain } from "../topology-file.ts";

interface Options {
  readonly topology: string;
  readonly region: string;
  readonly stateDir: string;
  readonly secretsDir: string;
  readonly pgBin?: string;
  readonly pgUser?: string;
  readonly pgSetting: Readonly<Record<string, string>>;
}

export function register(program: Command): void {
  program
    .command("agent")
    .description("run the agent of one region: it watches, votes, and acts on what is in its region")
    .requiredOption("--topology <file>", "topology file, the same in all regions")
    .requiredOption("--region <name>", "region that it speaks for")
    .option("--state-dir <folder>", "its journal and sockets", "/var/lib/holdfast")
    .option(
      "--secrets-dir <folder>",
      "token, keys and passwords, the same in all regions",
      "/etc/holdfast/secrets",
    )
    .option(
      "--pg-bin <folder>",
      "PostgreSQL's programs; default: found on this machine, else the npm package",
    )
    .option(
      "--pg-user <name>",
      "user that PostgreSQL runs as when this is root; default: postgres, else nobody",
    )
    .option(
      "--pg-setting <name=value>",
      "a further setting of PostgreSQL, such as max_connections=300; may be repeated",
      collectSetting,
      {},
    )
    .addHelpText("after", "\nExample:\n  holdfast agent --topology holdfast.yaml --region eu-west")
    .action(async (options: Options) => {
      const loaded = topologyOrComplain(options.topology);
      if (!loaded) return;
      const { topology } = loaded;
      if (!topology.regions.some((region) => region.name === options.region)) {
        process.stderr.write(
          `no region ${options.region} in ${options.topology}; there is: ${topology.regions.map((region) => region.name).join(", ")}\n`,
        );
        return exitWith(exit.invalid);
      }
      const { runAgent } = await import("../run-agent.ts");
      const run = runAgent({
        topology,
        region: options.region,
        stateDir: options.stateDir,
        secretsDir: options.secretsDir,
        journalFile: join(options.stateDir, "journal.jsonl"),
        pgBin: options.pgBin,
        pgUser: options.pgUser,
        pgSettings: options.pgSetting,
      });
      await run.catch((error) => {
        const failure = describeFailure(error);
        if (!failure) throw error;
        process.stderr.write(`cannot run the agent of ${options.region}: ${failure.text}\n`);
        // What was opened up to here would keep it alive.
        process.exit(failure.code);
      });
    });
}

function collectSetting(text: string, before: Readonly<Record<string, string>>): Record<string, string> {
  const equals = text.indexOf("=");
  if (equals < 1) throw new InvalidArgumentError("write it as name=value");
  return { ...before, [text.slice(0, equals).trim()]: text.slice(equals + 1).trim() };
}
