/** A probe in a place, asked from the tests; and the word about what is left out where there is no root. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { NetworkPlace } from "../../../src/lab/net/place.ts";
import { whatIsMissing } from "../../../src/lab/net/requirements.ts";
import type { ProbeOrder } from "./probe.ts";

const main = fileURLToPath(new URL("./probe.ts", import.meta.url));

/** Whether the test cannot be done here: then it is told, and with CI=true a failure. */
export function isLeftOut(context: TestContext, missing = whatIsMissing()): boolean {
  if (missing.length === 0) return false;
  const because = `LEFT OUT: ${missing.join("; ")}; run scripts/install-test-parts.sh`;
  if (process.env.CI === "true") throw new Error(because);
  console.error(`${context.name}: ${because}`);
  context.skip(because);
  return true;
}

export interface Probe {
  readonly place: NetworkPlace;
  send(to: NetworkPlace, count: number): Promise<void>;
  /** How many of `count` that were sent from there arrived; waits until no more come. */
  take(from: NetworkPlace): Promise<number>;
  close(): Promise<void>;
}

export async function startProbe(place: NetworkPlace): Promise<Probe> {
  const [command, ...args] = [...place.prefix, process.execPath, main, place.address];
  const child = spawn(command ?? "", args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    assert.ok(!done, `the probe in ${place.name} has ended`);
    return value as string;
  };
  assert.equal(await answer(), "ready");
  const order = (what: ProbeOrder) => {
    child.stdin.write(`${JSON.stringify(what)}\n`);
    return answer();
  };
  return {
    place,
    async send(to, count) {
      assert.equal(await order({ kind: "send", to: to.address, count }), "sent");
    },
    async take(from) {
      let sum = 0;
      for (let quiet = 0; quiet < 5; quiet++) {
        const more = Number(await order({ kind: "take", from: from.address }));
        sum += more;
        if (more > 0) quiet = 0;
        await sleep(20);
      }
      return sum;
    },
    async close() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
}
