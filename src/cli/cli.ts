/** The command line: one file a command, one line a command here. */
import { Command, CommanderError } from "commander";
import manifest from "../../package.json" with { type: "json" };
import * as agent from "./commands/agent.ts";
import * as approve from "./commands/approve.ts";
import * as backup from "./commands/backup.ts";
import * as check from "./commands/check.ts";
import * as degrade from "./commands/degrade.ts";
import * as demo from "./commands/demo.ts";
import * as diff from "./commands/diff.ts";
import * as doctor from "./commands/doctor.ts";
import * as drill from "./commands/drill.ts";
import * as edge from "./commands/edge.ts";
import * as failback from "./commands/failback.ts";
import * as failover from "./commands/failover.ts";
import * as fencer from "./commands/fencer.ts";
import * as incidents from "./commands/incidents.ts";
import * as lab from "./commands/lab.ts";
import * as replay from "./commands/replay.ts";
import * as reseed from "./commands/reseed.ts";
import * as routers from "./commands/routers.ts";
import * as schema from "./commands/schema.ts";
import * as sim from "./commands/sim.ts";
import * as status from "./commands/status.ts";
import * as store from "./commands/store.ts";
import * as switchover from "./commands/switchover.ts";
import * as validate from "./commands/validate.ts";
import { exit, exitHelp, exitWith } from "./exit.ts";

const commands = [
  demo,
  status,
  routers,
  incidents,
  switchover,
  failback,
  failover,
  reseed,
  degrade,
  approve,
  drill,
  lab,
  validate,
  check,
  doctor,
  schema,
  replay,
  sim,
  diff,
  agent,
  edge,
  fencer,
  backup,
  store,
];

const program = new Command("holdfast")
  .description("Keeps a service running when a region fails.")
  .version(manifest.version)
  .showHelpAfterError('(add "--help" for what it takes)')
  .showSuggestionAfterError()
  .addHelpText("after", `\n${exitHelp}`)
  // Commands inherit it: a wrong command line ends with 2, not with commander's 1.
  .exitOverride();

for (const command of commands) command.register(program);

// `holdfast schema | head`: the reader has seen enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(exit.ok);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  // Help and version are no errors; commander has said the rest.
  exitWith(error.exitCode === 0 ? exit.ok : exit.usage);
}
