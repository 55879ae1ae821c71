/** `holdfast replay`: what an agent was told in production, run through the machine again; the same commands must come out. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import type { Command } from "commander";
import { decodeEntry, emptyReplay, type Replay, replayEntry } from "../../core/machine/recording.ts";
import { exit, exitWith } from "../exit.ts";

interface Options {
  readonly story?: boolean;
}

const tools = { digest: (text: string) => createHash("sha256").update(text).digest("hex") };

export function register(program: Command): void {
  program
    .command("replay")
    .description("run an agent's recording through the machine again: the same commands must come out")
    .argument("<file>", "recording, JSON lines, as an agent writes it")
    .option("--story", "print each event that led to commands, and the commands")
    .addHelpText(
      "after",
      `
Examples:
  holdfast replay west/recording.jsonl
  holdfast replay --story west/recording.jsonl | less

Exits with 0 when every step came out the same, 1 when one did not, 3 when the file is not a recording.`,
    )
    .action(replayFile);
}

async function replayFile(file: string, options: Options): Promise<void> {
  let replay: Replay = emptyReplay;
  let number = 0;
  let torn = "";
  try {
    for await (const line of createInterface({ input: createReadStream(file, "utf8") })) {
      number++;
      if (torn !== "") return invalid(torn);
      if (line === "") continue;
      const decoded = decodeEntry(line);
      if (decoded.kind === "malformed") {
        // The last line may be half written: the agent was ended in the middle of it.
        torn = `${file}:${number}: ${decoded.because}`;
        continue;
      }
      const result = replayEntry(replay, decoded.entry, tools);
      if (result.kind === "malformed") return invalid(`${file}:${number}: ${result.because}`);
      if (result.kind === "differs") {
        exitWith(exit.failed);
        print(`${file}:${number}: step ${replay.steps + 1} came out otherwise: ${result.because}`);
        print(`  event     ${JSON.stringify(result.event)}`);
        for (const command of result.commands) print(`  now       ${JSON.stringify(command)}`);
        return;
      }
      if (options.story && result.event && result.commands.length > 0) {
        print(`${(result.event.at / 1000).toFixed(3).padStart(12)}  ${JSON.stringify(result.event)}`);
        for (const command of result.commands) print(`${"".padStart(14)}-> ${JSON.stringify(command)}`);
      }
      replay = result.replay;
    }
  } catch (error) {
    return invalid(`cannot read ${file}: ${(error as Error).message}`);
  }
  if (replay.state === null) return invalid(`${file} has no entry: is it a recording?`);
  print(`${replay.steps} steps came out the same${torn === "" ? "" : `; the last line is torn (${torn})`}`);
}

function invalid(message: string): void {
  process.stderr.write(`${message}\n`);
  exitWith(exit.invalid);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
