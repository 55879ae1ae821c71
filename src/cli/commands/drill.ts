/** `holdfast drill`: break a running demo on purpose, and see what comes of it. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Argument, type Command, Option } from "commander";
import type { DrillView } from "../../lab/control.ts";
import { faultTexts } from "../../lab/faults.ts";
import type { LabState } from "../../lab/state-file.ts";
import { complain, demoStateFile } from "../connect.ts";
import { exit } from "../exit.ts";
import { parseSpan } from "../span.ts";

interface Options {
  readonly region?: string;
  readonly for?: number;
  readonly state: string;
  readonly wait: boolean;
  readonly json?: boolean;
}

export function register(program: Command): void {
  const drill = program.command("drill").description("rehearse what must be survived");
  drill
    .command("run")
    .description("inject one fault into a running demo; it ends by itself, also when this command is ended")
    .addArgument(new Argument("<fault>", "what happens").choices(Object.keys(faultTexts)))
    .option("--region <name>", "where; default: where the primary is")
    .option("--for <span>", "how long it lasts, such as 8s", parseSpan)
    .addOption(
      new Option("--state <file>", "what the demo wrote down").env("HOLDFAST_STATE").default(demoStateFile),
    )
    .option("--no-wait", "do not wait until everything is whole again")
    .option("--json", "print the drill as JSON")
    .addHelpText(
      "after",
      "\nExample:\n  holdfast demo --no-load --state demo.json &\n  holdfast drill run region-freeze --region eu-west --for 10s --state demo.json",
    )
    .action(run);
  drill
    .command("list")
    .description("the faults there are")
    .action(
      () =>
        void process.stdout.write(
          `${Object.entries(faultTexts)
            .map(([name, text]) => `${name.padEnd(14)} ${text}`)
            .join("\n")}\n`,
        ),
    );
}

async function run(fault: string, options: Options): Promise<void> {
  let state: LabState;
  let token: string;
  try {
    state = JSON.parse(readFileSync(options.state, "utf8")) as LabState;
    token = readFileSync(state.tokenFile, "utf8").trim();
  } catch (error) {
    return complain(
      `no running demo to be found in ${options.state}: ${(error as Error).message}; start one with "holdfast demo --no-load --state ${options.state}"`,
      exit.invalid,
    );
  }
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const call = async (
    path: string,
    body?: object,
  ): Promise<{ status: number; body: DrillView & { detail: string } }> => {
    const answer = await fetch(`${state.control}${path}`, {
      headers,
      signal: AbortSignal.timeout(5000),
      ...(body ? { method: "POST", body: JSON.stringify(body) } : {}),
    });
    return { status: answer.status, body: (await answer.json()) as DrillView };
  };
  try {
    const begun = await call("/v1/drills", {
      fault,
      region: options.region ?? null,
      forMs: options.for ?? null,
    });
    if (begun.status !== 202)
      return complain(
        `the drill was not begun: ${begun.body.detail}`,
        begun.status === 409 ? exit.refused : exit.failed,
      );
    let drill: DrillView = begun.body;
    if (!options.json)
      process.stdout.write(`drill ${drill.id}: ${fault} in ${drill.region}: ${drill.detail}\n`);
    while (options.wait && drill.status === "running") {
      await sleep(200);
      drill = (await call(`/v1/drills/${drill.id}`)).body;
    }
    if (options.json) process.stdout.write(`${JSON.stringify(drill, null, 2)}\n`);
    else if (options.wait) process.stdout.write(`${describe(drill)}\n`);
    if (drill.status === "failed") complain(`the drill failed: ${drill.detail}`, exit.failed);
  } catch (error) {
    complain(
      `the demo at ${state.control} does not answer: ${(error as Error).message}; does it still run (process ${state.pid})?`,
      exit.unreachable,
    );
  }
}

function describe(drill: DrillView): string {
  const moved =
    drill.committedAfterMs === null
      ? `the primary did not move (epoch ${drill.epochAfter ?? drill.epochBefore})`
      : `another primary after ${Math.round(drill.committedAfterMs)} ms (epoch ${drill.epochBefore} -> ${drill.epochAfter})`;
  return `${moved}; every standby streams again after ${drill.wholeAfterMs === null ? "?" : (drill.wholeAfterMs / 1000).toFixed(1)} s`;
}
