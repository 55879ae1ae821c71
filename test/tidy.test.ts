/** The walls of the house and the manners in it: what a reader may rely on everywhere, as tests. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { circlesIn, importsOf } from "./tidy/imports.ts";
import { whyForbidden } from "./tidy/walls.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

interface Text {
  readonly file: string;
  readonly text: string;
}

/** Committed, or about to be: git leaves out what `.gitignore` names. */
const all: readonly Text[] = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "-z"], {
  cwd: root,
  encoding: "utf8",
  maxBuffer: 16 * 1024 * 1024,
})
  .split("\0")
  .filter((file) => file !== "" && existsSync(join(root, file)))
  .map((file) => ({ file, text: readFileSync(join(root, file), "utf8") }));

const isCode = ({ file }: Text) => /\.(ts|tsx|mjs)$/.test(file);
const isWritten = ({ file }: Text) => !file.includes("/generated/");
const code = all.filter(isCode).filter(isWritten);
const house = code.filter(({ file }) => file.startsWith("src/"));

/** Every place where `pattern` stands in code, not in comments. */
function found(texts: readonly Text[], pattern: RegExp): string[] {
  return texts.flatMap(({ file, text }) =>
    withoutComments(text)
      .split("\n")
      .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
  );
}

/** Line numbers stay. A `//` inside a string ends the line here: what a URL is followed by is no rule's business. */
function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ""))
    .replace(/\/\/.*$/gm, "");
}

/** The clock, chance, timers, promises and the process: what makes two runs differ. */
const world =
  /\bDate\b|\bMath\.random\b|\bset(Timeout|Interval|Immediate)\b|\bqueueMicrotask\b|(?<![\w.])performance\.|(?<![\w.])process\.(?!ts\b)[a-z]|\bcrypto\b|\bPromise\b|\basync\b|\bawait\b/;

test("every room imports only what its walls permit", () => {
  const forbidden = house
    .flatMap(({ file, text }) => importsOf(file, text))
    .map(whyForbidden)
    .filter((why) => why !== null);
  assert.deepEqual(forbidden, []);
});

/** Imports of types that close a circle and wait to be mended: the parts of a simulated world know what they stand in. */
const closing = ["agent", "clients", "oracle"].map((part) => `src/sim/${part}.ts -> src/sim/world.ts`);

test("no file imports itself over others, types included", () => {
  const imports = code.flatMap(({ file, text }) => importsOf(file, text));
  const known = imports.filter(({ from, to }) => closing.includes(`${from} -> ${to}`));
  assert.equal(known.length, closing.length, "an exception that nobody needs any more: take it out");
  assert.deepEqual(circlesIn(imports.filter((one) => !known.includes(one))), []);
});

test("every import of ours names a file that is there", () => {
  const missing = code
    .flatMap(({ file, text }) => importsOf(file, text))
    .filter(({ to, isOurs }) => isOurs && !existsSync(join(root, to)))
    .map(({ from, to }) => `${from} imports ${to}`);
  assert.deepEqual(missing, []);
});

test("the core knows no clock, no chance, no timer, no promise and no process", () => {
  const core = house.filter(({ file }) => file.startsWith("src/core/"));
  assert.deepEqual(found(core, world), []);
});

test("the simulator has no clock, chance or timer but its world's", () => {
  const simulator = house.filter(({ file }) => file.startsWith("src/sim/") && file !== "src/sim/run.ts");
  assert.deepEqual(found(simulator, world), []);
});

test("every file opens with a sentence that says what it is for", () => {
  const mute = code.filter(({ text }) => !/^(#!.*\n\/\/ |\/\*\*(\n \*)? )\S[^\n]{15,}/.test(text));
  assert.deepEqual(
    mute.map(({ file }) => file),
    [],
  );
});

test("nothing is exported by default, and no type leaves code behind when it is stripped", () => {
  assert.deepEqual(
    found(code, /^\s*export default\b|^\s*(export |declare )*(const )?enum \w|^\s*(export )?namespace \w/),
    [],
  );
});

test("no file hides what it is for behind a name such as utils", () => {
  const vague = /(^|[-.])(utils?|helpers?|managers?|impl|misc|common|stuff)([-.]|$)/i;
  assert.deepEqual(
    code.map(({ file }) => file).filter((file) => vague.test(basename(file))),
    [],
  );
});

test("nobody passes on what others export but the list of adapters and the package's own door", () => {
  const barrels = code.filter(({ file, text }) => {
    if (file === "src/sdk/sdk.ts" || file === "src/adapters/adapters.ts") return false;
    return /^export \*|^export (type )?\{[^}]*\} from/m.test(text) || basename(file) === "index.ts";
  });
  assert.deepEqual(
    barrels.map(({ file }) => file),
    [],
  );
});

const tests = code.filter(({ file }) => file.endsWith(".test.ts"));

test("every test bears a fact that could be false as its name, and a file has each once", () => {
  const bad = tests.flatMap(({ file, text }) => {
    const names = [...text.matchAll(/^\s*(?:void |await )?(?:test|inCluster)\(\s*"((?:[^"\\]|\\.)+)"/gm)].map(
      ([, name]) => name ?? "",
    );
    const vague = names.filter((name) => /\bshould\b|\bworks$/.test(name) || name.split(/\s+/).length < 3);
    const twice = names.filter((name, index) => names.indexOf(name) !== index);
    return [...vague, ...twice].map((name) => `${file}: ${name}`);
  });
  assert.deepEqual(bad, []);
});

test("no test is switched off, and none stands alone", () => {
  const others = tests.filter(({ file }) => file !== "test/tidy.test.ts");
  assert.deepEqual(
    found(others, /\b(test|it|describe|suite)\.(skip|only|todo)\(|\b(only|todo|skip): true\b/),
    [],
  );
});

test("nothing that is committed names the machine that it was written on, or a registry", () => {
  // Put together here, so that this file does not name them either.
  const forbidden = [
    ["", "work"],
    ["", "tmp", "brief"],
  ].map((parts) => parts.join("/"));
  const hosts = [
    ["registry", "npmjs"],
    ["registry", "yarnpkg"],
    ["proxy", "golang"],
  ].map((parts) => parts.join("."));
  const places = [
    ...forbidden.map((path) => `(?<![\\w.~-])${path}\\b`),
    ...hosts.map((host) => host.replace(".", "\\.")),
  ];
  const pattern = new RegExp(places.join("|"));
  const named = all.flatMap(({ file, text }) =>
    text
      .split("\n")
      .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
  );
  assert.deepEqual(named, []);
});

test("the lock file says what to install, not where from", () => {
  const lock = readFileSync(join(root, "package-lock.json"), "utf8");
  assert.equal(/"resolved":/.test(lock), false);
  const { packages } = JSON.parse(lock) as {
    packages: Record<string, { integrity?: string; optional?: boolean; os?: string[] }>;
  };
  // Optional packages of other platforms may stand there by name only: see scripts/complete-lock.mjs.
  const unproven = Object.entries(packages).filter(
    ([path, { integrity, optional, os }]) => path !== "" && !integrity && !(optional && os),
  );
  assert.deepEqual(unproven, []);
});

test("each of these rules finds what it is for", () => {
  const wall = (from: string, to: string) =>
    whyForbidden({ from, to, isOurs: /^(src|test)\/|^package\.json$/.test(to) });
  for (const [from, to] of [
    ["src/core/judge/judge.ts", "src/core/decide/claim.ts"],
    ["src/core/judge/judge.ts", "node:fs"],
    ["src/core/judge/judge.ts", "yaml"],
    ["src/core/decide/claim.ts", "src/core/machine/state.ts"],
    ["src/adapters/etcd/etcd.ts", "src/adapters/sqlite/sqlite.ts"],
    ["src/adapters/etcd/etcd.ts", "src/core/traffic/accept.ts"],
    ["src/agent/agent.ts", "src/adapters/adapters.ts"],
    ["src/cli/cli.ts", "src/adapters/sqlite/sqlite.ts"],
    ["src/lab/world.ts", "src/adapters/postgres/process-tree.ts"],
    ["src/lab/world.ts", "test/run.ts"],
    ["src/fencer/main.ts", "zod"],
    ["src/sdk/sdk.ts", "src/core/model/id.ts"],
    ["src/sdk/hono.ts", "hono"],
    ["src/sim/world.ts", "node:fs"],
    ["src/nowhere/file.ts", "src/core/model/id.ts"],
  ] as const)
    assert.notEqual(wall(from, to), null, `${from} -> ${to}`);
  for (const [from, to] of [
    ["src/core/judge/judge.ts", "src/core/observe/window.ts"],
    ["src/core/spec/read.ts", "yaml"],
    ["src/adapters/adapters.ts", "src/adapters/etcd/etcd.ts"],
    ["src/fencer/main.ts", "src/adapters/postgres/process-tree.ts"],
    ["src/cli/cli.ts", "package.json"],
  ] as const)
    assert.equal(wall(from, to), null, `${from} -> ${to}`);

  const source =
    'import type { A } from "./b.ts";\nimport {\n  c,\n} from "../d.ts";\nexport { e } from "zod";\nawait import(' +
    '"./f.ts");\n';
  const imports = importsOf("src/x/a.ts", source);
  assert.deepEqual(
    imports.map(({ to }) => to),
    ["src/x/b.ts", "src/d.ts", "zod", "src/x/f.ts"],
  );
  const back = importsOf("src/x/b.ts", 'import type { Z } from "./a.ts";');
  assert.deepEqual(circlesIn([...imports, ...back]), [["src/x/a.ts", "src/x/b.ts", "src/x/a.ts"]]);

  for (const line of [
    "Date.now()",
    "new Date()",
    "Math.random()",
    "setTimeout(f, 1)",
    "process.env.X",
    "async () => 1",
    "performance.now()",
  ])
    assert.deepEqual(found([{ file: "a", text: line }], world), [`a:1: ${line}`]);
  assert.deepEqual(
    found([{ file: "a", text: "/* Date */ // Math.random()\nthis.process.kill();" }], world),
    [],
  );
});
