/** A backup taken, damaged and put to the restore test by the very commands for it, and what they say of readiness then. */
import { type ExecFileException, execFile } from "node:child_process";
import {
  closeSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { BackupTest, KeptBackup } from "../../core/model/backup.ts";
import type { SpanMs } from "../../core/model/time.ts";
import type { Verdict } from "../../core/spec/fit.ts";
import type { LabLayout } from "../layout.ts";
import { type Answer, cli } from "./ask.ts";
import type { ScenarioFault } from "./scenario.ts";

type Damage = Extract<ScenarioFault, { fault: "backup" }>["damage"];

const runFile = promisify(execFile);
/** Exit codes that answer: done, not as asked, damaged. */
const answers = [0, 7, 8];

/** `withinMs`: for each of the three commands. Rejects when one of them could not be run to its end. */
export async function tryBackup(layout: LabLayout, damage: Damage, withinMs: SpanMs): Promise<Answer> {
  // As the guide has it: beside a member that holds a lease, and behind it.
  const before = [...(layout.regions[0]?.prefix ?? []), "nice", "-n", "10", process.execPath, cli, "backup"];
  const run = async <T>(...words: readonly string[]): Promise<T> => {
    const [program, ...args] = [...before, ...words, "--topology", layout.topologyFile, "--json"];
    const options = { timeout: withinMs, killSignal: "SIGKILL", maxBuffer: 64 << 20 } as const;
    const told = await runFile(program as string, args, options).catch(
      (error: ExecFileException & { stdout: string; stderr: string }) => error,
    );
    if ("code" in told && !answers.includes(Number(told.code)))
      throw new Error(`backup ${words[0]} could not be run: ${told.stderr.trim() || told.message}`);
    return JSON.parse(told.stdout) as T;
  };
  const taken = await run<KeptBackup>("take", "--secrets-dir", layout.secretsDir);
  const damaged = breakBackup(join(taken.folder, "data"), damage);
  const { outcome, damages } = await run<BackupTest>("test", taken.folder);
  const { dataStores } = await run<{ dataStores: readonly { readiness: Verdict }[] }>("list");
  const readiness = dataStores[0]?.readiness;
  const detail = `readiness ${readiness?.fit}: ${readiness?.advice || "nothing to do"}`;
  const isNamed = damages.some(({ file }) => file === `data/${damaged}`);
  return { status: outcome === "failed" && !isNamed ? "failed without naming it" : outcome, detail };
}

/** The file that was damaged, from the data folder on; empty: none. */
function breakBackup(data: string, damage: Damage): string {
  const largest = (folder: string, pattern: RegExp) =>
    readdirSync(join(data, folder), { recursive: true, encoding: "utf8" })
      .map((name) => join(folder, name))
      .filter((path) => pattern.test(path))
      .sort((a, b) => statSync(join(data, b)).size - statSync(join(data, a)).size)[0] ?? "";
  switch (damage) {
    case "none":
      return "";
    case "byte-flipped": {
      const path = largest("base", /\/\d+$/);
      const file = openSync(join(data, path), "r+");
      const byte = Buffer.alloc(1);
      const at = Math.floor(statSync(join(data, path)).size / 2);
      readSync(file, byte, 0, 1, at);
      writeSync(file, Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, at);
      closeSync(file);
      return path;
    }
    case "file-truncated": {
      const path = largest("base", /\/\d+$/);
      truncateSync(join(data, path), statSync(join(data, path)).size - 8192);
      return path;
    }
    case "wal-missing": {
      const path = largest("pg_wal", /\/[0-9A-F]{24}$/);
      rmSync(join(data, path));
      return path;
    }
    default:
      return damage satisfies never;
  }
}
