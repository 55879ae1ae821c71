/**
 * `npm run bench:smuggling`: how our edge, HAProxy and nginx treat each of the doubtful requests of
 * test/edge/parts/doubtful-requests.ts, before the same origin, which writes down every byte (some 40 s).
 *
 * Needs haproxy and nginx (scripts/install-test-parts.sh); `--verbose` prints every case. Exits 1 when our edge passes on
 * what could be read in two ways, or treats a case otherwise than the corpus says.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { corpus } from "../test/edge/parts/doubtful-requests.ts";
import { benchFlags } from "./parts/flags.ts";
import { writeResults } from "./parts/results.ts";
import { judge, type Treatment } from "./smuggling-parts/judge.ts";
import { startProxies } from "./smuggling-parts/proxies.ts";
import { send, startRecorder } from "./smuggling-parts/recorder.ts";

const values = benchFlags(import.meta.url, {
  json: { type: "string" },
  verbose: { type: "boolean", default: false },
});
const names = ["edge", "haproxy", "nginx"] as const;
type Name = (typeof names)[number];

execFileSync("which", ["haproxy", "nginx"]);
const folder = mkdtempSync(join(tmpdir(), "holdfast-smuggling-"));
const running: { stop(): Promise<void> }[] = [];
try {
  const treated = {} as Record<Name, readonly Treatment[]>;
  for (const name of names) {
    const recorder = await startRecorder();
    running.push(recorder);
    const proxy = await startProxies[name](folder, recorder.port);
    running.push(proxy);
    const all: Treatment[] = [];
    for (const [, bytes] of corpus) {
      recorder.forget();
      await send(proxy.port, bytes);
      all.push(judge(await recorder.heard()));
    }
    treated[name] = all;
  }
  const kinds = ["refused", "one", "several", "doubtful"] as const;
  console.log(`${corpus.length} doubtful requests`);
  console.table(
    names.map((name) => ({
      proxy: name,
      ...Object.fromEntries(
        kinds.map((kind) => [kind, treated[name].filter((each) => each.kind === kind).length]),
      ),
    })),
  );
  console.log(
    "refused: nothing of it was passed on; one: passed on as one request, cleanly; several: read as more than one, each passed on cleanly; doubtful: what was passed on can be read in two ways",
  );
  for (const name of names)
    for (const [at, each] of treated[name].entries())
      if (each.kind === "doubtful" || values.verbose)
        console.log(
          `${name}: ${each.kind}: ${JSON.stringify(corpus[at]?.[0])}${each.kind === "doubtful" ? `: ${each.because}` : ""}`,
        );
  const wrong = corpus.filter(([, , verdict], at) => {
    const { kind } = treated.edge[at] as Treatment;
    return verdict === "refused" ? kind !== "refused" : kind !== "one";
  });
  const isSafe = wrong.length === 0;
  console.log(
    `edge: ${corpus.length - wrong.length} of ${corpus.length} refused or passed on as exactly one (target all) ${isSafe ? "met" : `MISSED: ${wrong.map(([name]) => JSON.stringify(name)).join(", ")}`}`,
  );
  if (values.json !== undefined) {
    const cases = corpus.map(([name, , verdict], at) => ({
      name,
      verdict,
      ...Object.fromEntries(names.map((proxy) => [proxy, treated[proxy][at]])),
    }));
    writeResults(values.json, { cases });
  }
  if (!isSafe) process.exitCode = 1;
} finally {
  for (const each of running.reverse()) await each.stop();
  rmSync(folder, { recursive: true, force: true });
}
