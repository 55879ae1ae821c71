/** `holdfast diff`: what a change of the topology does, and what to beware of. */
import type { Command } from "commander";
import { type Change, diffTopologies } from "../../core/spec/diff.ts";
import { exit, exitWith } from "../exit.ts";
import { type Ink, type Paint, paintFor } from "../paint.ts";
import { baseDirOf, topologyOrComplain } from "../topology-file.ts";

interface Options {
  readonly json?: boolean;
  readonly exitCode?: boolean;
}

export function register(program: Command): void {
  program
    .command("diff")
    .description("tell what differs between two topology files")
    .argument("<before>", 'topology file, or "-" for standard input')
    .argument("<after>", "topology file")
    .option("--exit-code", "exit with 1 when they differ")
    .option("--json", "print the changes as JSON")
    .addHelpText(
      "after",
      `
Example:
  git show HEAD:holdfast.yaml | holdfast diff - holdfast.yaml

Files are compared by what they mean: comments, layout and the order of keys do not matter.
Exits with 0 whether they differ or not (see --exit-code), 3 when one is not valid.`,
    )
    .action((beforeFile: string, afterFile: string, options: Options) => {
      // One folder for both: the same relative path is the same path, wherever the two versions lie.
      const baseDir = baseDirOf(afterFile);
      const before = topologyOrComplain(beforeFile, { ...options, baseDir });
      if (before === null) return;
      const after = topologyOrComplain(afterFile, { ...options, baseDir });
      if (after === null) return;
      const changes = diffTopologies(before.topology, after.topology);
      const output = options.json
        ? JSON.stringify({ before: before.file, after: after.file, changes }, null, 2)
        : report(before.file, after.file, changes, paintFor(process.stdout));
      process.stdout.write(`${output}\n`);
      if (options.exitCode && changes.length > 0) exitWith(exit.failed);
    });
}

const marks: Readonly<Record<Change["kind"], readonly [mark: string, ink: Ink]>> = {
  added: ["+", "green"],
  removed: ["-", "red"],
  changed: ["~", "yellow"],
  reordered: ["~", "yellow"],
};

function report(before: string, after: string, changes: readonly Change[], paint: Paint): string {
  if (changes.length === 0) return `${before} and ${after} mean the same.`;
  const lines = changes.flatMap((change) => {
    const [mark, ink] = marks[change.kind];
    const values = [change.before, change.after].filter((value) => value !== null).join(" -> ");
    const order = change.kind === "reordered" ? " order" : "";
    const head = `${paint(ink, mark)} ${paint("bold", `${change.path}${order}`)}: ${values}`;
    return change.beware === "" ? [head] : [head, `    ${paint("yellow", "beware")}: ${change.beware}`];
  });
  const count = (kind: Change["kind"]) => changes.filter((change) => change.kind === kind).length;
  const changed = count("changed") + count("reordered");
  return [...lines, "", `${count("added")} added, ${changed} changed, ${count("removed")} removed`].join(
    "\n",
  );
}
