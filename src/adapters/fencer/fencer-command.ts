/** How a fencer is started: the program and the flags that keep it small. */
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../fencer/main.ts", import.meta.url));

/** To be given to `process.execPath`. */
export function fencerArguments(configFile: string): readonly string[] {
  return [...fencerFlags, main, "--config", configFile];
}

const fencerFlags: readonly string[] = ["--max-old-space-size=32", "--max-semi-space-size=1"];
