/**
 * `npm run bench:cache`: our edge as a cache, beside nginx with `proxy_cache` and `use_stale`, judged by http-cache-tests
 * (the tests of cache-tests.fyi) in one run, some 45 s.
 *
 * Needs nginx (scripts/install-test-parts.sh) and a package registry for `bench/packages`. Exits 1 when our edge passes
 * fewer tests than nginx, or gave a kept answer where a test forbids it.
 */
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startEdgeSubject, startNginxSubject, startService } from "./cache-parts/subjects.ts";
import type { SuiteResult } from "./cache-parts/suite.ts";
import { benchFlags } from "./parts/flags.ts";
import { installPackages } from "./parts/packages.ts";
import { writeResults } from "./parts/results.ts";

const values = benchFlags(import.meta.url, {
  json: { type: "string" },
  verbose: { type: "boolean", default: false },
});
const kinds = ["required", "optimal", "check"] as const;

execFileSync("which", ["nginx"]);
const folder = mkdtempSync(join(tmpdir(), "holdfast-cache-"));
const running: { stop(): Promise<void> }[] = [];
try {
  const packages = await installPackages(folder);
  const service = await startService(folder, packages);
  running.push(service);
  const nginx = await startNginxSubject(folder, service.port);
  running.push(nginx);
  const edge = await startEdgeSubject(folder, service.port);
  running.push(edge);

  const program = fileURLToPath(new URL("./cache-parts/suite.ts", import.meta.url));
  const judged = await Promise.all(
    [edge, nginx].map(async ({ name, url }) => {
      const { stdout } = await promisify(execFile)(process.execPath, [program, packages, url], {
        maxBuffer: 16 * 1024 * 1024,
        timeout: 300_000,
      });
      return { name, results: JSON.parse(stdout) as readonly SuiteResult[] };
    }),
  );
  const count = (results: readonly SuiteResult[], kind?: string) =>
    results.filter((each) => each.passed && (kind === undefined || each.kind === kind)).length;
  console.table(
    judged.map(({ name, results }) => ({
      cache: name,
      tests: results.length,
      ...Object.fromEntries(kinds.map((kind) => [kind, count(results, kind)])),
      passed: count(results),
      "kept answer where forbidden": results.filter((each) => each.reusedForbidden).length,
    })),
  );
  console.log(
    "required: what RFC 9111 demands; optimal: what a good cache does; check: neither right nor wrong",
  );
  const [ours, theirs] = judged as [(typeof judged)[number], (typeof judged)[number]];
  for (const { name, results } of judged) {
    const forbidden = results.filter((each) => each.reusedForbidden).map(({ id }) => id);
    console.log(`${name}: kept answers where they are forbidden: ${forbidden.join(", ") || "none"}`);
  }
  if (values.verbose)
    for (const { id, kind, because } of ours.results.filter(({ passed }) => !passed))
      console.log(`  edge, ${kind}, ${id}: ${because}`);
  const isClean = ours.results.every((each) => !each.reusedForbidden);
  const isMore = count(theirs.results) < count(ours.results);
  console.log(
    `edge: ${count(ours.results)} passes, nginx: ${count(theirs.results)} (target: more than nginx) ${isMore ? "met" : "MISSED"}; none where forbidden ${isClean ? "met" : "MISSED"}`,
  );
  writeResults(values.json, { judged });
  if (!isClean || !isMore) process.exitCode = 1;
} finally {
  for (const each of running.reverse()) await each.stop();
  rmSync(folder, { recursive: true, force: true });
}
