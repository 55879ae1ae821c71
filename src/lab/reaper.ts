/**
 * Ends everything that a lab started when the lab itself is gone, however it went: `node reaper.ts STATE_FILE [FOLDER_TO_REMOVE [STATE_FILE_OF_OTHERS]]`.
 *
 * The lab holds the other end of our standard input. When that closes, we read which processes there are from the
 * lab's state, wake what is stopped, kill it, and end the PostgreSQL of every data folder (S15).
 */
import { readFileSync, rmSync } from "node:fs";
import { removeDisksBelow } from "./net/disk.ts";
import { removeNetwork } from "./net/network.ts";
import { endForGood } from "./postgres-end.ts";
import type { LabState } from "./state-file.ts";

const [stateFile, removeFolder, otherStateFile] = process.argv.slice(2);
process
  .on("SIGINT", () => undefined)
  .on("SIGTERM", () => undefined)
  .on("SIGHUP", () => undefined);
process.stdin.resume();
process.stdin.on("data", (chunk) => {
  // "done": the lab has cleaned up behind itself.
  if (chunk.toString().includes("done")) process.exit(0);
});
process.stdin.on("close", () => void reap());

async function reap(): Promise<void> {
  if (!stateFile) process.exit(2);
  let state: LabState;
  try {
    state = JSON.parse(readFileSync(stateFile, "utf8")) as LabState;
  } catch {
    process.exit(1);
  }
  // Fencers last: they end their member when they are asked to stop, and guard it until then.
  for (const { pid } of state.processes) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // Gone already.
    }
  }
  for (const { dataDir } of state.members) await endForGood(dataDir).catch(() => undefined);
  let isNetworkGone = true;
  try {
    if (state.network) removeNetwork(state.network);
  } catch {
    // "holdfast lab down" finds it by what stays written down.
    isNetworkGone = false;
  }
  if (otherStateFile && isNetworkGone) rmSync(otherStateFile, { force: true });
  if (removeFolder) removeDisksBelow(removeFolder);
  if (removeFolder) rmSync(removeFolder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  process.exit(0);
}
