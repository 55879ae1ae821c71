/**
 * `npm test`: all tests, in groups that do not disturb one another, with a word about everything that was left out.
 *
 * `npm test -- edge lab/load` runs the files whose path contains one of the words. With CI=true a test that was left out
 * is a failure. Whatever tests leave running is ended, told, and a failure too.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { Readable } from "node:stream";
import { run } from "node:test";
import { spec as Spec, type TestEvent } from "node:test/reporters";
import { fileURLToPath } from "node:url";
import { type Group, groupsOf } from "./runner/groups.ts";
import { endLeftBehind, filesLeftBehind, runMark } from "./runner/left-behind.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);

const filters = process.argv.slice(2).filter((argument) => argument !== "--");
const groups = groupsOf(root, filters);
if (groups.length === 0) {
  console.error(`no test file has any of these in its path: ${filters.join(", ")}`);
  process.exit(2);
}

// All that tests make lies below it. Short: the path of a Unix socket has room for 107 bytes. PostgreSQL is another user.
const folder = mkdtempSync(join(tmpdir(), "hf-"));
chmodSync(folder, 0o755);
process.env.TMPDIR = folder;
process.env[runMark] = folder;

const inCi = process.env.CI === "true";
const stopping = new AbortController();
let interruptedBy: NodeJS.Signals | null = null;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => {
    // The second time: at once.
    if (interruptedBy)
      void endLeftBehind(folder).then(
        () => process.exit(1),
        () => process.exit(1),
      );
    interruptedBy = signal;
    stopping.abort();
  });

const counts = { tests: 0, suites: 0, passed: 0, failed: 0, cancelled: 0, skipped: 0, todo: 0 };
const leftOut = new Map<string, number>();
const tookMs = new Map<string, number>();
const lines: string[] = [];
const startedAt = performance.now();

await new Promise<void>((resolve, reject) => {
  Readable.from(events())
    .compose(new Spec())
    .on("error", reject)
    .on("end", resolve)
    .pipe(process.stdout, { end: false });
});
process.stdout.write(`${lines.join("\n")}\n`, () =>
  process.exit(counts.failed + counts.cancelled > 0 ? 1 : 0),
);

/** What every group tells, as if it were one run; the closing lines are counted here. */
async function* events(): AsyncGenerator<TestEvent> {
  for (const group of groups) {
    if (stopping.signal.aborted) break;
    yield say(`— ${group.name}: ${group.files.length} files`);
    for await (const event of eventsOf(group)) {
      // The group's own closing lines: there is one ending, below.
      if (event.type === "test:diagnostic" && event.data.file === undefined) continue;
      if (event.type === "test:summary") {
        take(event.data);
        continue;
      }
      if (event.type === "test:pass" && event.data.skip) {
        const because = `${relative(root, event.data.file ?? "")}: ${String(event.data.skip)}`;
        leftOut.set(because, (leftOut.get(because) ?? 0) + 1);
      }
      yield event;
    }
  }
  if (interruptedBy) fail(`interrupted by ${interruptedBy}: not all tests were run`);
  for (const { pid, command } of await endLeftBehind(folder))
    fail(`left behind by a test, and ended now: process ${pid}: ${command}`);
  for (const name of filesLeftBehind(folder))
    fail(`left behind by a test, and removed now: ${join(folder, name)}`);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  for (const [because, tests] of leftOut) {
    lines.push(`LEFT OUT (${tests} ${tests === 1 ? "test" : "tests"}) ${because}`);
    if (inCi) fail("with CI=true nothing may be left out: run scripts/install-test-parts.sh");
  }
  const slowest = [...tookMs].sort(([, a], [, b]) => b - a).slice(0, 8);
  lines.unshift(
    "",
    "slowest files:",
    ...slowest.map(([file, ms]) => `${(ms / 1000).toFixed(1).padStart(7)} s  ${file}`),
    "",
  );
  const closing = { ...counts, duration_ms: Math.round(performance.now() - startedAt) };
  const word: Readonly<Record<string, string>> = { passed: "pass", failed: "fail" };
  for (const [name, count] of Object.entries(closing)) lines.push(`ℹ ${word[name] ?? name} ${count}`);
}

function eventsOf(group: Group): AsyncIterable<TestEvent> {
  return run({
    files: [...group.files],
    concurrency: group.concurrency,
    timeout: group.fileTimeoutMs,
    signal: stopping.signal,
  }) as unknown as AsyncIterable<TestEvent>;
}

function take(summary: Extract<TestEvent, { type: "test:summary" }>["data"]): void {
  if (summary.file !== undefined) {
    tookMs.set(relative(root, summary.file), summary.duration_ms);
    return;
  }
  for (const name of ["tests", "suites", "passed", "cancelled", "skipped", "todo"] as const)
    counts[name] += summary.counts[name];
  const { tests, passed, cancelled, skipped, todo } = summary.counts;
  counts.failed += tests - passed - cancelled - skipped - todo;
}

function fail(because: string): void {
  counts.tests++;
  counts.failed++;
  lines.push(`✖ ${because}`);
}

function say(message: string): TestEvent {
  return { type: "test:stdout", data: { file: "", message: `${message}\n` } } as TestEvent;
}
