/**
 * `node suite.ts FOLDER URL`: the tests of `http-cache-tests` (installed in FOLDER) against the cache at URL; prints what
 * came of each as JSON. A process of its own, since the tests keep their results in their module.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

export interface SuiteResult {
  readonly id: string;
  readonly kind: "required" | "optimal" | "check";
  readonly passed: boolean;
  /** Why not. */
  readonly because: string;
  /** Tests without which this one says nothing. */
  readonly dependsOn: readonly string[];
  /** An answer came from the cache where the test forbids it. */
  readonly reusedForbidden: boolean;
}

interface Test {
  readonly id: string;
  readonly kind?: "required" | "optimal" | "check";
  readonly browser_only?: boolean;
  readonly depends_on?: readonly string[];
  readonly requests: readonly { readonly expected_type?: string }[];
}

interface Fetched {
  readonly headers: { get(name: string): string | null };
}

type Fetch = (url: string, init?: { readonly headers?: readonly (readonly string[])[] }) => Promise<Fetched>;

interface Runner {
  runTests(
    suites: readonly { readonly tests: readonly Test[] }[],
    fetch: Fetch,
    browser: boolean,
    base: string,
  ): Promise<void>;
  getResults(): Readonly<Record<string, true | readonly [string, string]>>;
}

const [folder = "", base = ""] = process.argv.slice(2);
const inPackage = (path: string) => pathToFileURL(join(folder, "node_modules/http-cache-tests", path)).href;
const { runTests, getResults } = (await import(inPackage("client/runner.mjs"))) as Runner;
const { default: suites } = (await import(inPackage("tests/index.mjs"))) as {
  default: readonly { readonly tests: readonly Test[] }[];
};
const nodeFetch = createRequire(join(folder, "package.json"))("node-fetch") as Fetch;
const tests = suites.flatMap((suite) => suite.tests).filter((test) => test.browser_only !== true);
const reused = new Set<string>();

/** The service numbers what it hears: an answer with a smaller number than the request was not made for it. */
async function watchingFetch(...[url, init]: Parameters<Fetch>): Promise<Fetched> {
  const answer = await nodeFetch(url, init);
  const said = (name: string) => init?.headers?.find(([key]) => key === name)?.[1];
  const [id, number] = [said("Test-ID"), said("Req-Num")];
  const heard = answer.headers.get("server-request-count");
  if (id !== undefined && heard !== null && Number(heard) < Number(number)) reused.add(`${id} ${number}`);
  return answer;
}

await runTests(suites, watchingFetch, false, base);
const results = getResults();
const table = tests.map(({ id, kind = "required", depends_on: dependsOn = [], requests }): SuiteResult => {
  const result = results[id];
  return {
    id,
    kind,
    passed: result === true,
    because: result === true || result === undefined ? "" : result.join(": "),
    dependsOn,
    reusedForbidden:
      kind === "required" &&
      requests.some(({ expected_type: type }, at) => type === "not_cached" && reused.has(`${id} ${at + 1}`)),
  };
});
process.stdout.write(JSON.stringify(table), () => process.exit(0));
