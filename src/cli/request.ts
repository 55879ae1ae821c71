/** A wish of a person sent to the agents, and followed until it is done, refused, or nobody knows. */
import { randomUUID } from "node:crypto";
import { userInfo } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import type { RequestRecord } from "../core/model/record.ts";
import type { RequestBody } from "../core/model/status.ts";
import {
  type Connection,
  type ConnectOptions,
  complain,
  connect,
  orComplain,
  withConnection,
} from "./connect.ts";
import { exit } from "./exit.ts";

export interface WishOptions extends ConnectOptions {
  readonly why?: string;
  readonly ifEpoch?: string;
  readonly wait: boolean;
  readonly json?: boolean;
}

interface WishCommand {
  /** Of the command, and of the request that it sends. */
  readonly kind: "switchover" | "failback" | "approve";
  readonly description: string;
  /** Where it goes without `--to`. */
  readonly without: string;
  readonly example: string;
}

/** A command by which people ask for another primary; all of them take the same. */
export function registerWish(program: Command, wish: WishCommand): void {
  withConnection(
    program
      .command(wish.kind)
      .description(wish.description)
      .argument("[data-store]", "which one; may be left out where there is one"),
  )
    .option("--to <region>", `region that should lead; default: ${wish.without}`)
    .option("--if-epoch <n>", "refuse unless this is the epoch then")
    .option("--why <text>", "reason, for the chronicle")
    .option("--no-wait", "do not wait for the outcome")
    .option("--json", "print the request as JSON")
    .addHelpText("after", `\nExample:\n  holdfast ${wish.example}`)
    .action(async (named: string | undefined, options: WishOptions & { readonly to?: string }) => {
      const connection = connect(options);
      if (!connection) return;
      await orComplain(async () => {
        const dataStore = await onlyStore(named, connection);
        if (dataStore !== null)
          await askAndFollow({ kind: wish.kind, dataStore, toRegion: options.to ?? null }, options);
      });
    });
}

/** A planned change takes a second or two; a busy one longer. */
const waitMaxMs = 60_000;

export async function askAndFollow(
  wish: Pick<RequestBody, "kind" | "dataStore" | "toRegion">,
  options: WishOptions,
): Promise<void> {
  const ifEpoch = Number(options.ifEpoch ?? 0);
  if (!Number.isInteger(ifEpoch) || ifEpoch < 0)
    return complain(`--if-epoch takes a whole number, not ${options.ifEpoch}`, exit.usage);
  const connection = connect(options);
  if (!connection) return;
  await orComplain(async () => {
    const body: RequestBody = { ...wish, ifEpoch, by: userInfo().username, why: options.why ?? "" };
    const key = randomUUID();
    const asked = await connection.ask((client) => client.submit(body, key));
    if (!options.wait) return tell(asked, options);
    tell(await follow(connection, asked), options);
  });
}

/** The one data store there is, where none is named; null: after telling which there are. */
export async function onlyStore(named: string | undefined, connection: Connection): Promise<string | null> {
  if (named !== undefined) return named;
  const view = await connection.ask((client) => client.status());
  const names = view.dataStores.map((store) => store.name);
  if (names.length === 1) return names[0] as string;
  complain(`name the data store: ${names.join(", ")}`, exit.usage);
  return null;
}

async function follow(connection: Connection, asked: RequestRecord): Promise<RequestRecord> {
  const until = Date.now() + waitMaxMs;
  let record = asked;
  while ((record.status === "pending" || record.status === "running") && Date.now() < until) {
    await sleep(100);
    record = await connection.ask((client) => client.request(asked.id));
  }
  return record;
}

function tell(record: RequestRecord, options: WishOptions): void {
  if (options.json) process.stdout.write(`${JSON.stringify(record, null, 2)}\n`);
  const what = `${record.kind}${record.dataStore ? ` of ${record.dataStore}` : ""} (request ${record.id})`;
  const say = (text: string) => {
    if (!options.json) process.stdout.write(`${text}\n`);
  };
  switch (record.status) {
    case "succeeded":
      return say(`${what} is done: ${record.detail}`);
    case "pending":
    case "running":
      if (!options.wait) return say(`${what} is asked for; "holdfast status" tells how it goes`);
      return complain(
        `${what} is still ${record.status} after ${waitMaxMs / 1000} s; "holdfast status" tells what it waits for`,
        exit.unknown,
      );
    case "refused":
      return complain(`${what} is refused: ${record.detail}`, exit.refused);
    case "failed":
      return complain(`${what} failed: ${record.detail}`, exit.failed);
    case "unknown":
      return complain(
        `the outcome of ${what} is unknown: ${record.detail}; look at "holdfast status" before anything is repeated`,
        exit.unknown,
      );
    default:
      return record.status satisfies never;
  }
}
