/** Regions by name: known where the lab says so, lost and found again while a process runs, and nowhere else. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { hostsFileOf, knowNames, nameThem } from "../../../src/lab/net/names.ts";
import { isLeftOut } from "./place-probe.ts";

const teller = `
const { lookup } = require("node:dns/promises");
const tell = () => lookup(process.argv[1], 4).then(({ address }) => address, () => "lost").then((word) => {
  console.log(word);
  setTimeout(tell, 20);
});
tell();`;

test("a process loses the names of regions and finds them again, and the machine never knows them", {
  timeout: 60_000,
}, async (context) => {
  if (isLeftOut(context)) return;
  const root = mkdtempSync(join(tmpdir(), "holdfast-names-"));
  const west = { name: "eu-west", namespace: "", address: "127.0.0.77", prefix: [] };
  // Nobody listens there: a lookup fails at once, and not after seconds.
  const [place] = nameThem([west], "127.0.0.1", root);
  assert.ok(place);
  const [command, ...args] = [...place.prefix, process.execPath, "-e", teller, place.hostName];
  const child = spawn(command as string, args, { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  try {
    const file = hostsFileOf({ root }, west.name);
    const steps = [
      { word: west.address, next: () => knowNames(file, []) },
      { word: "lost", next: () => knowNames(file, [west]) },
      { word: west.address, next: () => undefined },
    ];
    for await (const word of createInterface(child.stdout)) {
      if (word !== steps[0]?.word) continue;
      steps.shift()?.next();
      if (steps.length === 0) break;
    }
    assert.deepEqual(steps, []);
    await assert.rejects(lookup(place.hostName));
  } finally {
    child.kill("SIGKILL");
    await exited;
    rmSync(root, { recursive: true, force: true });
  }
});
