/**
 * The fencer: a small process of its own beside a PostgreSQL member that ends it, whole process tree, unless it is
 * petted in time. It works while the agent is stopped, stalled or dead.
 *
 *     node src/fencer/main.ts --config FILE.json
 *
 * SIGTERM: while it is armed the member is ended first, then the fencer; never is an unguarded primary left behind.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { parseArgs } from "node:util";
import { endTree } from "../adapters/postgres/process-tree.ts";
import { HoldfastError } from "../core/model/error-code.ts";
import { readFencerConfig } from "./config.ts";
import { openDoor, refuseASecond } from "./door.ts";
import { Guard } from "./guard.ts";
import { FencerMemory } from "./memory.ts";
import { createVoice } from "./voice.ts";
import { startWatchdog } from "./watchdog.ts";

try {
  await main();
} catch (error) {
  const code = error instanceof HoldfastError ? `${error.code}: ` : "";
  writeFileSync(2, `fencer: ${code}${(error as Error).message}\n`);
  process.exit(1);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { config: { type: "string" } } });
  if (values.config === undefined) {
    throw new HoldfastError("HOLDFAST_FENCER_CONFIG_INVALID", "say --config FILE.json");
  }
  const config = readFencerConfig(values.config);
  const log = createVoice(config.member);
  await refuseASecond(config.socket);
  preferMe();
  const { memory, kept } = await FencerMemory.open(config.stateFile);
  const guard = new Guard(
    {
      now: () => Number(process.hrtime.bigint()) / 1e6,
      end: async (signal) => (await endTree(config, signal)).ended,
      memory,
      log,
      boot: bootId(),
      aheadMaxMs: config.aheadMaxMs,
    },
    kept,
    config.graceMs,
  );
  const door = await openDoor(config.socket, guard);
  const watchdog = config.watchdog === null ? null : startWatchdog(config.watchdog, 500, guard, log);

  let stopping = false;
  const stop = async (why: string, exitCode: number) => {
    if (stopping) return;
    stopping = true;
    await guard.close(why);
    await watchdog?.close();
    await door.close();
    process.exit(exitCode);
  };
  process.on("SIGTERM", () => void stop("told to stop", 0));
  process.on("SIGINT", () => void stop("told to stop", 0));
  process.on("SIGHUP", () => {}); // Whose terminal closes does not matter.
  process.on("SIGPIPE", () => {});
  process.stdout.on("error", () => {}); // Whoever started it may be gone.
  const onBug = (error: unknown) => {
    log(`a bug: ${error instanceof Error ? error.stack : String(error)}`);
    void stop("it found a bug in itself", 70);
  };
  process.on("uncaughtException", onBug);
  process.on("unhandledRejection", onBug);
  process.stdout.write(`${JSON.stringify({ ready: true, pid: process.pid, member: config.member })}\n`);
}

/** Where it is permitted: scheduled before the rest, and the last to be ended for want of memory. */
function preferMe(): void {
  try {
    setPriority(-20);
  } catch {
    // Not root: it shares the processor like everybody.
  }
  try {
    writeFileSync("/proc/self/oom_score_adj", "-1000");
  } catch {
    // Not root, or not Linux.
  }
}

/** CLOCK_MONOTONIC begins anew with each boot of the host. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}
