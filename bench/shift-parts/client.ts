/** A client as a process of its own: requests at a constant rate, whatever became of those before; told what came of each. */
import { Pool } from "undici";
import type { Seen } from "./load.ts";

const [url = "", host = "", rate = "500"] = process.argv.slice(2);
const everyNs = BigInt(Math.round(1e9 / Number(rate)));
// New requests, on connections that are kept: as browsers and balancers send them.
const pool = new Pool(url, { connections: 32, pipelining: 1 });
let seen: Seen[] = [];

async function one(dueNs: bigint): Promise<void> {
  let region = "";
  let status = 0;
  try {
    const answer = await pool.request({ method: "GET", path: "/", headers: { host } });
    await answer.body.dump();
    status = answer.statusCode;
    region = String(answer.headers["x-holdfast-region"] ?? "");
  } catch {
    // Counted as failed: status 0.
  }
  const endedNs = process.hrtime.bigint();
  // From when it was due, not from when this process got to it: a late start is waiting too.
  seen.push({ atMs: Number(dueNs) / 1e6, tookMs: Number(endedNs - dueNs) / 1e6, region, status });
}

let dueNs = process.hrtime.bigint();
setInterval(() => {
  const now = process.hrtime.bigint();
  // After a long stop of this process what was missed is not made up for in a burst.
  if (dueNs + 100_000_000n < now) dueNs = now;
  for (; dueNs <= now; dueNs += everyNs) void one(dueNs);
}, 1);

process.on("message", () => {
  process.send?.(seen);
  seen = [];
});
process.on("disconnect", () => process.exit(0));
process.send?.("started");
