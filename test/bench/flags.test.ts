/** Every bench: `npm run` knows it, its page tells of it, and it says what it takes before it does anything. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const folder = new URL("../../bench/", import.meta.url);
const benches = readdirSync(folder)
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.replace(/\.ts$/, ""));

function bench(name: string, ...flags: readonly string[]) {
  const file = fileURLToPath(new URL(`${name}.ts`, folder));
  return spawnSync(process.execPath, [file, ...flags], { encoding: "utf8", timeout: 30_000 });
}

test("each is a script of the package, and has its place on the page of benches", () => {
  const page = readFileSync(new URL("../docs/reference/benches.md", folder), "utf8");
  const { scripts } = JSON.parse(readFileSync(new URL("../package.json", folder), "utf8")) as {
    scripts: Record<string, string>;
  };
  for (const name of benches) {
    assert.equal(scripts[`bench:${name}`], `node bench/${name}.ts`);
    assert.match(page, new RegExp(`bench:${name}\``));
  }
});

for (const name of benches)
  test(`bench:${name} tells what it takes, and refuses what it does not`, () => {
    const help = bench(name, "--help");
    assert.equal(help.status, 0, help.stderr);
    assert.match(help.stdout, new RegExp(`^\`npm run bench:${name}\`: `));
    assert.match(help.stdout, /^ {2}--json VALUE/m);
    const refused = bench(name, "--nonsense");
    assert.equal(refused.status, 2, refused.stderr);
    assert.match(refused.stderr, /--nonsense[\s\S]*--help/);
    assert.doesNotMatch(refused.stderr, / at /, "a stack is nothing to whoever mistyped a flag");
  });

test("a number that is none, and a file that is not there, are told with the flag that brought them", () => {
  for (const text of ["0.5", "-1", "abc", ""]) {
    const { status, stderr } = bench("sim", `--hours=${text}`);
    assert.equal(status, 2, stderr);
    assert.ok(stderr.includes(`--hours takes a whole number from 1, not "${text}"`), stderr);
  }
  // Before anything is started that would be left behind.
  for (const [name, flag] of [
    ["cores", "rounds"],
    ["fuzz", "minutes"],
    ["shift", "services"],
  ] as const) {
    const { status, stderr } = bench(name, `--${flag}=many`);
    assert.equal(status, 2, stderr);
    assert.match(stderr, new RegExp(`^--${flag} takes a whole number from 1, not "many"`));
  }
  const { status, stderr } = bench("peers", "--runs", "0", "--with", "/nowhere/runs.json");
  assert.equal(status, 2, stderr);
  assert.match(stderr, /--with \/nowhere\/runs\.json: ENOENT/);
});
