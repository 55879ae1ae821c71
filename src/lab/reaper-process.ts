/** The other end of the reaper: it lives as long as we do, and cleans up when we are gone without a word. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("./reaper.ts", import.meta.url));

export interface Reaper {
  /** We have cleaned up ourselves. */
  dismiss(): void;
}

/** Empty: no folder to remove, no state that others read. */
export function startReaper(stateFile: string, removeFolder: string, stateFileOfOthers: string): Reaper {
  const child = spawn(process.execPath, [main, stateFile, removeFolder, stateFileOfOthers], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
    env: { ...process.env, NODE_NO_WARNINGS: "1" },
  });
  child.stdin.on("error", () => undefined);
  return { dismiss: () => child.stdin.end("done\n") };
}
