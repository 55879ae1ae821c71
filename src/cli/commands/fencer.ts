/** `holdfast fencer`: the small process beside a member that ends it unless it is petted in time. */
import { join } from "node:path";
import type { Command } from "commander";
import { fencerArguments, fencerEnvironment } from "../../adapters/adapters.ts";
import { become, membersIn, writeFencerConfig } from "../../agent/units.ts";
import { exit, exitWith } from "../exit.ts";
import { topologyOrComplain } from "../topology-file.ts";

interface Options {
  readonly topology: string;
  readonly region: string;
  readonly member: string;
  readonly stateDir: string;
}

export function register(program: Command): void {
  program
    .command("fencer")
    .description("run the fencer of one member: it ends PostgreSQL unless the agent pets it in time")
    .requiredOption("--topology <file>", "topology file")
    .requiredOption("--region <name>", "region that the member is in")
    .requiredOption("--member <name>", "member to guard")
    .option("--state-dir <folder>", "what it keeps between starts", "/var/lib/holdfast")
    .addHelpText(
      "after",
      "\nExample:\n  holdfast fencer --topology holdfast.yaml --region eu-west --member pg-west",
    )
    .action((options: Options) => {
      const loaded = topologyOrComplain(options.topology);
      if (!loaded) return;
      const members = membersIn(loaded.topology, options.region);
      const member = members.find((candidate) => candidate.name === options.member);
      if (!member) {
        const known = members.map((candidate) => candidate.name).join(", ") || "none";
        process.stderr.write(`no member ${options.member} in region ${options.region}; there is: ${known}\n`);
        return exitWith(exit.invalid);
      }
      const config = writeFencerConfig({ ...options, topology: loaded.topology }, member);
      Object.assign(process.env, fencerEnvironment(join(options.stateDir, "compile-cache")));
      become(fencerArguments(config));
    });
}
