/** docs/reference/cli.md and the commands, compared in both directions. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { before, test } from "node:test";
import { Command } from "commander";
import { exit } from "../../src/cli/exit.ts";
import { holdfast } from "./run.ts";

const page = readFileSync(new URL("../../docs/reference/cli.md", import.meta.url), "utf8");
const folder = new URL("../../src/cli/commands/", import.meta.url);

/** `drill run` -> the command; those that only hold others are left out. */
const commands = new Map<string, Command>();
/** `drill run` -> first cell of each row -> the rest of the row. */
const documented = new Map<string, Map<string, string>>();

before(async () => {
  const program = new Command("holdfast");
  for (const file of readdirSync(folder)) {
    const { register } = (await import(new URL(file, folder).href)) as {
      register: (program: Command) => void;
    };
    register(program);
  }
  const walk = (command: Command, path: readonly string[]) => {
    if (command.commands.length === 0) commands.set(path.join(" "), command);
    for (const child of command.commands) walk(child, [...path, child.name()]);
  };
  for (const child of program.commands) walk(child, [child.name()]);

  for (const section of page.split(/^## /m).slice(1)) {
    const name = /^`holdfast ([^`]+)`$/m.exec(section.split("\n")[0] ?? "")?.[1];
    if (name === undefined) continue;
    const rows = [...section.matchAll(/^\| `([^`]+)` \| (.*) \|$/gm)];
    documented.set(name, new Map(rows.map(([, cell = "", rest = ""]) => [cell, rest])));
  }
});

test("every command has a section, and every section a command", () => {
  assert.deepEqual([...documented.keys()].sort(), [...commands.keys()].sort());
});

test("every argument and option has a row, and every row is one", () => {
  for (const [name, command] of commands) {
    const terms = [
      ...command.registeredArguments.map((one) => (one.required ? `<${one.name()}>` : `[${one.name()}]`)),
      ...command.options.map((option) => option.flags),
    ];
    assert.deepEqual([...(documented.get(name)?.keys() ?? [])].sort(), terms.sort(), `holdfast ${name}`);
  }
});

test("a row tells the choices, the default, the variable, and that an option is required", () => {
  for (const [name, command] of commands)
    for (const option of command.options) {
      const row = documented.get(name)?.get(option.flags) ?? "";
      const where = `holdfast ${name} ${option.flags}: "${row}"`;
      for (const choice of option.argChoices ?? []) assert.ok(row.includes(`\`${choice}\``), where);
      if (option.envVar !== undefined) assert.ok(row.includes(`\`${option.envVar}\``), where);
      if (option.mandatory) assert.ok(row.startsWith("Required"), where);
      if (typeof option.defaultValue === "string" || typeof option.defaultValue === "number")
        assert.ok(row.includes(String(option.defaultValue)), where);
    }
});

test("every exit code has a row, and every row a code", () => {
  const section = /^## Exit codes$(.*?)^## /ms.exec(page)?.[1] ?? "";
  const codes = [...section.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
  assert.deepEqual(codes, Object.values(exit));
});

test("the command line offers what the page describes", async () => {
  const { code, stdout } = await holdfast(["--help"]);
  assert.equal(code, 0);
  const offered = [...stdout.matchAll(/^ {2}([a-z]+)(?= [[<]| {2})/gm)].map(([, name]) => name);
  const expected = new Set([...documented.keys()].map((name) => name.split(" ")[0]));
  assert.deepEqual(new Set(offered.filter((name) => name !== "help")), expected);
});
