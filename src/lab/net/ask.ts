/** A person's request, put to the agents by the very command for it, and what came of it. */
import { type ExecFileException, execFile } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { RequestRecord } from "../../core/model/record.ts";
import type { SpanMs } from "../../core/model/time.ts";
import { dataStoreName } from "../layout.ts";
import type { ScenarioFault } from "./scenario.ts";

export type Wish = Extract<ScenarioFault, { fault: "request" | "backup" }>;

export interface Answer {
  readonly status: RequestRecord["status"] | "unanswered" | "passed" | "failed without naming it";
  /** As the agents, or the command, say it. */
  readonly detail: string;
}

export function nameOf(wish: Wish): string {
  return wish.fault === "request" ? wish.kind : `backup (${wish.damage})`;
}

export interface Asked {
  readonly wish: Wish;
  readonly answer: Answer;
}

const source = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const cli = join(source, "cli", "cli.ts");
const runFile = promisify(execFile);

/** `to`: null: where the command takes it by itself. Rejects when no agent took the request. */
export async function ask(
  stateFile: string,
  kind: Extract<Wish, { fault: "request" }>["kind"],
  to: string | null,
  withinMs: SpanMs,
): Promise<Answer> {
  const target = to === null ? [] : [kind === "reseed" ? "--region" : "--to", to];
  const how = ["--why", "a scenario asks for it", "--state", stateFile, "--json"];
  const told = await runFile(process.execPath, [cli, kind, dataStoreName, ...target, ...how], {
    timeout: withinMs,
    killSignal: "SIGKILL",
  }).catch((error: ExecFileException & { stdout: string; stderr: string }) => error);
  if ("killed" in told && told.killed)
    return { status: "unanswered", detail: `nothing came of it within ${withinMs / 1000} s` };
  // What is refused ends with an exit code of its own, and is told as well.
  if (told.stdout === "") throw new Error(`${kind} could not be asked for: ${told.stderr.trim()}`);
  const { status, detail } = JSON.parse(told.stdout) as RequestRecord;
  return { status, detail };
}
