/** What people see of `validate`, `check`, `schema` and `diff`: the text, the streams and the exit codes. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { exit } from "../../src/cli/exit.ts";
import { edit, exampleNames, exampleText } from "../core/spec/text.ts";
import { holdfast } from "./run.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-cli-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const three = exampleText("three-regions.yaml");
const inFolder = { cwd: folder };

function write(name: string, text: string | Uint8Array): string {
  writeFileSync(join(folder, name), text);
  return name;
}

test("validate finds holdfast.yaml by itself, and says what is in it", async () => {
  write("holdfast.yaml", three);
  const { code, stdout, stderr } = await holdfast(["validate"], inFolder);
  assert.equal(code, exit.ok);
  assert.equal(stderr, "");
  assert.match(stdout, /^holdfast.yaml is valid\n/);
  assert.match(stdout, /orders, tier 0: 99.99 %, RTO 15 s, RPO 0 s\n/);
});

test("validate shows each problem with its line, a caret below the word, and help", async () => {
  const broken = edit(edit(three, "region: eu-west", "region: eu-wst"), "rto: 15s", "rto: 15");
  const { code, stdout, stderr } = await holdfast(["validate", write("broken.yaml", broken)], inFolder);
  assert.equal(code, exit.invalid);
  assert.equal(stdout, "");
  assert.equal(
    stderr,
    `error: unknown Region "eu-wst"
  --> broken.yaml:64:15
   |
64 |       region: eu-wst
   |               ^^^^^^ DataStore/orders-db spec.members[0].region
   = help: did you mean "eu-west"? Choose from eu-west, eu-central, eu-north

error: found the number 15
  --> broken.yaml:87:10
   |
87 |     rto: 15
   |          ^^ Service/orders spec.objectives.rto
   = help: a duration has a unit: 15ms, 15s, 15m or 15h

broken.yaml is not valid: 2 problems
`,
  );
});

test("validate shows both places of something that is there twice", async () => {
  const broken = edit(three, "name: pg-north", "name: pg-west");
  const { stderr } = await holdfast(["validate", write("twice.yaml", broken)], inFolder);
  assert.match(stderr, /--> twice.yaml:73:13\n {3}\|\n73 \| .*\n {3}\| +\^{7} DataStore/);
  assert.match(stderr, /::: twice.yaml:63:13\n63 \| .*\n {3}\| +-{7} .* is taken here first/);
});

test("validate --json is JSON whatever the file holds, with the same exit code", async () => {
  const valid = await holdfast(["validate", "--json"], { ...inFolder });
  assert.equal(JSON.parse(valid.stdout).valid, true);
  const broken = await holdfast(["validate", "--json", "-"], {
    ...inFolder,
    input: edit(three, "mode: auto", "mode: of"),
  });
  assert.equal(broken.code, exit.invalid);
  const [problem] = JSON.parse(broken.stdout).problems;
  assert.deepEqual(
    [problem.file, problem.line, problem.column, problem.path],
    ["<stdin>", 8, 9, "Topology/shop spec.mode"],
  );
  const absent = await holdfast(["validate", "--json", "absent.yaml"], inFolder);
  assert.equal(absent.code, exit.invalid);
  assert.match(JSON.parse(absent.stdout).because, /no such file/);
});

test("validate shows a hundred problems, and says how many more there are", async () => {
  const { code, stderr } = await holdfast(["validate", "-"], {
    ...inFolder,
    input: "---\nkind: Region\n".repeat(60),
  });
  assert.equal(code, exit.invalid);
  assert.equal(stderr.match(/^error: /gm)?.length, 100);
  assert.match(stderr, /\.\.\. and 81 more; --json tells all\n\n<stdin> is not valid: 181 problems\n$/);
});

test("a file that cannot be read is told with what to do", async () => {
  const absent = await holdfast(["check", "absent.yaml"], inFolder);
  assert.equal(absent.code, exit.invalid);
  assert.match(absent.stderr, /cannot read absent.yaml: there is no such file\n.*help/);
  const binary = await holdfast(["validate", write("binary", new Uint8Array([0xff, 0xfe, 0x00]))], inFolder);
  assert.equal(binary.code, exit.invalid);
  assert.match(binary.stderr, /not UTF-8/);
});

test("no file can move the cursor of who reads its problems", async () => {
  const hostile = edit(three, "mode: auto", 'mode: "\\e[31m" # \u001b[2J\u202e');
  const { stderr } = await holdfast(["validate", write("hostile.yaml", hostile)], inFolder);
  for (const mover of ["\u001b", "\u202e"]) assert.ok(!stderr.includes(mover));
  assert.match(stderr, /mode: "\\e\[31m" # ·\[2J·/);
});

test("check tells the worst case step by step and exits with 0 when promises can be kept", async () => {
  for (const name of exampleNames) {
    const { code, stdout } = await holdfast(["check", write(name, exampleText(name))], inFolder);
    assert.equal(code, exit.ok, stdout);
    assert.match(stdout, /recovered .*writes are answered again/);
  }
});

test("check exits with 7 and points to whose promise cannot be kept", async () => {
  const { code, stdout } = await holdfast(
    ["check", write("tight.yaml", edit(three, "rto: 15s", "rto: 3s"))],
    inFolder,
  );
  assert.equal(code, exit.objectivesNotMet);
  assert.match(stdout, /^error: Service\/orders: .* more than its RTO of 3 s/);
  assert.match(stdout, /\^{6} recovery-exceeds-rto\n {3}= help: leaseProfile: fast would fit/);
});

test("check --round-trip changes the arithmetic, and refuses what is no duration", async () => {
  const slow = await holdfast(["check", "--json", "--round-trip", "80ms"], inFolder);
  const { assumptions, recovery } = JSON.parse(slow.stdout);
  assert.equal(assumptions.roundTripMs, 80);
  assert.equal(recovery.silence.detectMs, 5130);
  const wrong = await holdfast(["check", "--round-trip", "80"], inFolder);
  assert.equal(wrong.code, exit.usage);
  assert.match(wrong.stderr, /such as 80ms/);
});

test("diff tells what changes and what to beware of; --exit-code tells whether", async () => {
  write("after.yaml", edit(three, "./data/pg-west", "./data/moved"));
  const changed = await holdfast(["diff", "--exit-code", "holdfast.yaml", "after.yaml"], inFolder);
  assert.equal(changed.code, exit.failed);
  assert.match(
    changed.stdout,
    /~ DataStore\/orders-db members.pg-west.dataDir: .*\n {4}beware: the folder is not moved/,
  );
  const same = await holdfast(["diff", "--exit-code", "-", "holdfast.yaml"], {
    ...inFolder,
    input: `# same\n${three}`,
  });
  assert.equal(same.code, exit.ok);
  assert.match(same.stdout, /mean the same/);
});

test("schema prints a JSON Schema", async () => {
  const { code, stdout } = await holdfast(["schema"]);
  assert.equal(code, exit.ok);
  assert.match(JSON.parse(stdout).$schema, /draft-07/);
});

test("a command that does not exist is wrong usage, with the nearest", async () => {
  const { code, stderr } = await holdfast(["validat"]);
  assert.equal(code, exit.usage);
  assert.match(stderr, /Did you mean validate\?/);
});

test("every command's help has an example, and asking for help is no error", async () => {
  for (const command of ["validate", "check", "schema", "diff"]) {
    const { code, stdout } = await holdfast([command, "--help"]);
    assert.equal(code, exit.ok);
    assert.match(stdout, /Examples?:\n {2}\S*.*holdfast/);
  }
});

test("every exit code is distinct and told by --help", async () => {
  const codes = Object.values(exit);
  assert.equal(new Set(codes).size, codes.length);
  const { stdout } = await holdfast(["--help"]);
  for (const code of codes) assert.match(stdout, new RegExp(`(^|\\s)${code}  \\w`, "m"));
});

test("the version is that of the package", async () => {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  assert.equal((await holdfast(["--version"])).stdout, `${manifest.version}\n`);
});
