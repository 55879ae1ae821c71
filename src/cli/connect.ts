/** How a command finds agents to talk to: a topology and its token, or what a running demo wrote down. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { AgentClient } from "../adapters/adapters.ts";
import { HoldfastError } from "../core/model/error-code.ts";
import type { Address } from "../core/model/topology.ts";
import { enter } from "../lab/net/enclosure.ts";
import type { LabState } from "../lab/state-file.ts";
import { type ExitCode, exit, exitWith } from "./exit.ts";
import { describeFailure } from "./failure.ts";
import { defaultFile, topologyOrComplain } from "./topology-file.ts";

export interface ConnectOptions {
  readonly topology?: string;
  readonly tokenFile?: string;
  readonly state?: string;
  readonly agent?: string;
}

/** Where `holdfast demo` writes its state unless told otherwise. */
export const demoStateFile = ".holdfast/demo.json";

export function withConnection(command: Command): Command {
  return command
    .addOption(new Option("--state <file>", "what a running demo wrote down").env("HOLDFAST_STATE"))
    .addOption(
      new Option("--topology <file>", `topology whose agents are asked (default: ${defaultFile})`).env(
        "HOLDFAST_TOPOLOGY",
      ),
    )
    .addOption(
      new Option("--token-file <file>", "the agents' bearer token")
        .env("HOLDFAST_TOKEN_FILE")
        .default("/etc/holdfast/secrets/token", "/etc/holdfast/secrets/token"),
    )
    .option("--agent <region>", "ask the agent of this region only");
}

export interface Connection {
  /** Asks one agent after the other until one answers; an answer that refuses is an answer. */
  ask<T>(question: (client: AgentClient) => Promise<T>): Promise<T>;
  /** Asks all of them at once; `because` says why one did not answer. */
  askEach<T>(question: (client: AgentClient) => Promise<T>): Promise<readonly EachAnswer<T>[]>;
  readonly state: LabState | null;
}

export interface EachAnswer<T> {
  readonly region: string;
  readonly answer: T | null;
  readonly because: string;
}

/** null: after telling why, and setting the exit code. */
export function connect(options: ConnectOptions): Connection | null {
  const stateFile =
    options.state ??
    (options.topology === undefined && existsSync(demoStateFile) ? demoStateFile : undefined);
  if (stateFile !== undefined) {
    const state = readState(stateFile);
    if (!state) return null;
    enter(state);
    const addresses = state.regions.map(({ name, agent }) => ({
      name,
      address: { host: new URL(agent).hostname, port: Number(new URL(agent).port) },
    }));
    return connectionTo(addresses, options, state.tokenFile, state);
  }
  const loaded = topologyOrComplain(options.topology ?? defaultFile);
  if (!loaded) return null;
  return connectionTo(
    loaded.topology.regions.map((region) => ({ name: region.name, address: region.agent })),
    options,
    options.tokenFile ?? join("/etc/holdfast/secrets", "token"),
    null,
  );
}

function readState(file: string): LabState | null {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as LabState;
  } catch (error) {
    complain(
      `cannot read the state of a demo from ${file}: ${(error as Error).message}; start one with "holdfast demo --no-load --state ${file}"`,
      exit.invalid,
    );
    return null;
  }
}

function connectionTo(
  regions: readonly { readonly name: string; readonly address: Address }[],
  options: ConnectOptions,
  tokenFile: string,
  state: LabState | null,
): Connection | null {
  let token: string;
  try {
    token = readFileSync(tokenFile, "utf8").trim();
  } catch (error) {
    complain(
      `cannot read the agents' token from ${tokenFile}: ${(error as Error).message}; name the file with --token-file`,
      exit.invalid,
    );
    return null;
  }
  const chosen =
    options.agent === undefined ? regions : regions.filter((region) => region.name === options.agent);
  if (chosen.length === 0) {
    complain(
      `no region ${options.agent}; there is: ${regions.map((region) => region.name).join(", ")}`,
      exit.invalid,
    );
    return null;
  }
  return {
    state,
    askEach: (question) =>
      Promise.all(
        chosen.map(async ({ name: region, address }) => {
          const client = new AgentClient({ address, token, timeoutMs: 3000 });
          try {
            return { region, answer: await question(client), because: "" };
          } catch (error) {
            if (!(error instanceof HoldfastError) || error.code !== "HOLDFAST_AGENT_UNREACHABLE") throw error;
            return { region, answer: null, because: error.message };
          } finally {
            await client.close();
          }
        }),
      ),
    async ask(question) {
      const silent: string[] = [];
      for (const { name, address } of chosen) {
        const client = new AgentClient({ address, token, timeoutMs: 3000 });
        try {
          return await question(client);
        } catch (error) {
          if (!(error instanceof HoldfastError) || error.code !== "HOLDFAST_AGENT_UNREACHABLE") throw error;
          silent.push(`${name}: ${error.message}`);
        } finally {
          await client.close();
        }
      }
      throw new HoldfastError("HOLDFAST_AGENT_UNREACHABLE", `no agent answers:\n  ${silent.join("\n  ")}`);
    },
  };
}

/** One line (or more) on stderr, and the exit code. */
export function complain(text: string, code: ExitCode): void {
  process.stderr.write(`${text}\n`);
  exitWith(code);
}

/** Runs an action; what goes wrong is told with what to do next, and its own exit code. */
export async function orComplain(action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    const failure = describeFailure(error);
    if (!failure) throw error;
    complain(failure.text, failure.code);
  }
}
