/** Children, clock, ports and log. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../../src/adapters/system/clock.ts";
import { findFreePorts } from "../../../src/adapters/system/free-port.ts";
import { createLogger } from "../../../src/adapters/system/logger.ts";
import { type ProcessRequest, startProcess } from "../../../src/adapters/system/spawn.ts";
import { temporaryFolder } from "./temporary-folder.ts";

function request(folder: string, script: string, more: Partial<ProcessRequest> = {}): ProcessRequest {
  return {
    name: "a child",
    program: "/bin/sh",
    args: ["-c", script],
    logFile: join(folder, "child.log"),
    readyText: "ready",
    readyWithinMs: 5000,
    ...more,
  };
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test("a child that is ready is given, one that will not go is killed, and gone means gone", async (t) => {
  const folder = temporaryFolder(t);
  const stubborn = await startProcess(
    request(folder, `trap "" TERM; echo ready; while :; do sleep 0.05; done`),
  );
  assert.equal(stubborn.isRunning(), true);
  assert.equal(await stubborn.end(100), "SIGKILL");
  assert.equal(isThere(stubborn.pid), false);
  // Its "ready" still stands in the log, and does not count for the next one.
  const polite = await startProcess(
    request(folder, `trap "exit 7" TERM; sleep 0.1; echo ready; while :; do sleep 0.01; done`),
  );
  assert.equal(readFileSync(join(folder, "child.log"), "utf8"), "ready\nready\n");
  assert.equal(await polite.end(5000), 7);
  assert.equal(await polite.end(5000), 7);
});

test("a child that ends, is late or is not there is an error that quotes its log, and leaves nothing", async (t) => {
  const folder = temporaryFolder(t);
  const code = "HOLDFAST_PROCESS_NOT_STARTED";
  await assert.rejects(startProcess(request(folder, "echo no room; exit 3")), {
    code,
    message: /cannot start a child: sh ended \(3\) before it was ready.*no room/s,
  });
  await assert.rejects(startProcess(request(folder, "echo $$; exec sleep 100", { readyWithinMs: 100 })), {
    code,
    message: /not ready within 100 ms and was ended/,
  });
  const pid = Number(readFileSync(join(folder, "child.log"), "utf8").trim().split("\n").at(-1));
  assert.equal(isThere(pid), false);
  await assert.rejects(startProcess(request(folder, "", { program: join(folder, "nothing") })), {
    code,
    message: /ENOENT/,
  });
});

test("the clock is the same in every process of the host", () => {
  const before = systemClock.now();
  const module = new URL("../../../src/adapters/system/clock.ts", import.meta.url).href;
  const script = `const { systemClock } = await import(${JSON.stringify(module)}); console.log(systemClock.now())`;
  const other = Number(
    execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" }),
  );
  const after = systemClock.now();
  assert.ok(before < other && other < after, `${before} < ${other} < ${after}`);
});

test("free ports are different and can be bound", async () => {
  const ports = await findFreePorts(20);
  assert.equal(new Set(ports).size, 20);
  const server = createServer();
  await new Promise<void>((done) => server.listen(ports[7], "127.0.0.1", done));
  await new Promise((done) => server.close(done));
});

test("a log whose reader stands still neither blocks nor grows, and says how much was lost", async () => {
  const chunks: string[] = [];
  let release = () => {};
  const logger = createLogger({
    level: "info",
    pretty: false,
    write: (chunk, done) => {
      chunks.push(chunk);
      release = done;
    },
  });
  logger.log("debug", "not said");
  for (let n = 0; n < 1500; n += 1) logger.with({ region: "eu-west" }).log("warn", `line ${n}`);
  assert.equal(chunks.length, 1);
  release();
  logger.log("error", "after", { error: new Error("why") });
  release();
  release();
  const lines = chunks
    .join("")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.equal(lines.length, 1 + 1000 + 1);
  assert.equal(lines[0]?.region, "eu-west");
  assert.equal(lines.at(-1)?.dropped, 499);
  assert.deepEqual(lines.at(-1)?.error, { message: "why" });
});
