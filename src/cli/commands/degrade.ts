/** `holdfast degrade`: order a degradation level for a service, or end it. */
import { userInfo } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { type Command, InvalidArgumentError } from "commander";
import type { LevelRecord } from "../../core/model/degradation.ts";
import { describeSpan } from "../../core/spec/units.ts";
import {
  type Connection,
  type ConnectOptions,
  complain,
  connect,
  orComplain,
  withConnection,
} from "../connect.ts";
import { exit } from "../exit.ts";
import { parseSpan } from "../span.ts";

interface Options extends ConnectOptions {
  readonly level?: number;
  readonly off?: boolean;
  readonly for?: number;
  readonly reason?: string;
  readonly wait: boolean;
  readonly json?: boolean;
}

/** A table is published and applied in milliseconds; a store that elects takes a second or two. */
const waitMaxMs = 10_000;

export function register(program: Command): void {
  withConnection(
    program
      .command("degrade")
      .description("leave features out of a service while capacity is short, or end that")
      .argument("<service>", "which one"),
  )
    .option("--level <n>", "level to go to, as the topology numbers them; 0: everything is on", parseLevel)
    .option("--off", "the same as --level 0")
    .option("--for <duration>", "end it by itself after this long, such as 30m", parseSpan)
    .option("--reason <text>", "why, for those who ask later")
    .option("--no-wait", "do not wait until the routing table says so")
    .option("--json", "print the order as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  holdfast degrade orders --level 1 --for 30m --reason 'eu-west is gone, eu-central is full'\n  holdfast degrade orders --off",
    )
    .action(async (service: string, options: Options) => {
      const level = options.off ? 0 : options.level;
      if (level === undefined || (options.off && options.level !== undefined))
        return complain("say --level N or --off, one of them", exit.usage);
      if (level === 0 && options.for !== undefined)
        return complain("--for goes with a level: level 0 needs no end", exit.usage);
      const connection = connect(options);
      if (!connection) return;
      await orComplain(async () => {
        const body = {
          level,
          forMs: options.for ?? 0,
          by: userInfo().username,
          why: options.reason ?? "",
        };
        const record = await connection.ask((client) => client.degrade(service, body));
        if (options.json) process.stdout.write(`${JSON.stringify(record, null, 2)}\n`);
        const isRouted = options.wait && (await untilRouted(connection, record));
        if (options.wait && !isRouted)
          return complain(
            `level ${level} of ${service} is ordered, and no table says so after ${waitMaxMs / 1000} s; "holdfast status" tells who publishes tables`,
            exit.unknown,
          );
        if (!options.json) process.stdout.write(`${sentence(record, isRouted)}\n`);
      });
    });
}

async function untilRouted(connection: Connection, { service, order }: LevelRecord): Promise<boolean> {
  for (const until = Date.now() + waitMaxMs; Date.now() < until; await sleep(50)) {
    const { services } = await connection.ask((client) => client.status());
    if (services.find(({ name }) => name === service)?.level === order.level) return true;
  }
  return false;
}

function sentence({ service, order }: LevelRecord, isRouted: boolean): string {
  const state = isRouted ? "is at" : "is ordered to";
  if (order.level === 0)
    return `${service} ${state} level 0: everything is on, as far as edges do not degrade by themselves`;
  const end = order.forMs === 0 ? "until it is ended with --off" : `for ${describeSpan(order.forMs)}`;
  return `${service} ${state} level ${order.level}, ${end}`;
}

function parseLevel(text: string): number {
  if (!/^\d$/.test(text)) throw new InvalidArgumentError("a level is a number from 0 to 9");
  return Number(text);
}
