/** What a bench writes for `--json FILE`: when, on what machine and how busy it was, and every figure. */
import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { describeMachine } from "../../src/lab/report.ts";

/** `file`: as given on the command line; undefined: nobody asked for it. `postgresql`: version, where one ran. */
export function writeResults(file: string | undefined, figures: object, postgresql = ""): void {
  if (file === undefined) return;
  const load1 = Number((loadavg()[0] ?? 0).toFixed(2));
  const machine = { ...describeMachine(postgresql), load1 };
  writeFileSync(file, `${JSON.stringify({ at: new Date().toISOString(), machine, ...figures }, null, 2)}\n`);
}
