/** A path in, the compiled topology out; or everything that is wrong with the file, shown. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Topology } from "../core/model/topology.ts";
import type { Place, Problem } from "../core/spec/problem.ts";
import { compileTopology } from "../core/spec/spec.ts";
import { exit, exitWith } from "./exit.ts";
import { frameProblem } from "./frame.ts";
import { paintFor } from "./paint.ts";

/** Where commands look when no file is named. */
export const defaultFile = "holdfast.yaml";

export type LoadedTopology =
  | {
      readonly kind: "valid";
      readonly topology: Topology;
      /** `DataStore/orders-db` -> where its name stands. */
      readonly places: ReadonlyMap<string, Place>;
      readonly file: string;
      readonly text: string;
    }
  | {
      readonly kind: "invalid";
      readonly problems: readonly Problem[];
      readonly file: string;
      readonly text: string;
    }
  | { readonly kind: "unreadable"; readonly because: string; readonly file: string };

export interface LoadOptions {
  /** Problems go to standard output as JSON. */
  readonly json?: boolean;
  /** Where relative paths in the text begin: the folder of the file, or the current one for standard input. */
  readonly baseDir?: string;
}

/** `-` reads standard input. */
export function loadTopology(file: string, options: LoadOptions = {}): LoadedTopology {
  const shown = file === "-" ? "<stdin>" : file;
  let bytes: Buffer;
  try {
    bytes = readFileSync(file === "-" ? 0 : file);
  } catch (error) {
    return { kind: "unreadable", because: reason(error), file: shown };
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return { kind: "unreadable", because: "it is not UTF-8 text", file: shown };
  }
  const baseDir = options.baseDir ?? baseDirOf(file);
  return { ...compileTopology({ text, file: shown, baseDir }, sha256), file: shown, text };
}

/** Where relative paths of a topology file begin. */
export function baseDirOf(file: string): string {
  return file === "-" ? process.cwd() : dirname(resolve(file));
}

/** The digest that a topology bears: SHA-256, hexadecimal. */
export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** The topology; or null, after telling what is wrong and setting the exit code. */
export function topologyOrComplain(file: string, options: LoadOptions = {}) {
  const loaded = loadTopology(file, options);
  if (loaded.kind === "valid") return loaded;
  exitWith(exit.invalid);
  if (options.json) {
    const problems = loaded.kind === "invalid" ? loaded.problems : [];
    const because = loaded.kind === "unreadable" ? { because: loaded.because } : {};
    process.stdout.write(
      `${JSON.stringify({ valid: false, file: loaded.file, ...because, problems }, null, 2)}\n`,
    );
  } else {
    process.stderr.write(complaint(loaded));
  }
  return null;
}

/** Enough to work through, and no flood from a file that is something else. */
const shownMax = 100;

function complaint(loaded: Exclude<LoadedTopology, { kind: "valid" }>): string {
  const paint = paintFor(process.stderr);
  if (loaded.kind === "unreadable") {
    const hint =
      loaded.file === defaultFile
        ? 'name a file, or begin with one from "examples/topologies"'
        : "check the path and who may read it";
    return `${paint("red", paint("bold", "error"))}: cannot read ${loaded.file}: ${loaded.because}\n  = help: ${hint}\n`;
  }
  const { problems, file, text } = loaded;
  const frames = problems.slice(0, shownMax).map((problem) => frameProblem(problem, text, paint));
  if (problems.length > shownMax)
    frames.push(`... and ${problems.length - shownMax} more; --json tells all\n`);
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return `${frames.join("\n")}\n${paint("bold", `${file} is not valid: ${count}`)}\n`;
}

function reason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "ENOENT") return "there is no such file";
  if (code === "EACCES") return "permission denied";
  if (code === "EISDIR") return "it is a folder";
  return error instanceof Error ? error.message : String(error);
}
