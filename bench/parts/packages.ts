/**
 * Packages that only benches need: pinned in `bench/packages`, installed into a temporary folder, not with `npm ci`.
 *
 * `http-cache-tests` depends on the whole of `npm`, for its scripts: in its place an override puts what is there anyway.
 */
import { execFile } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const installsWithinMs = 120_000;

/** A folder with `node_modules` in it. */
export async function installPackages(folder: string): Promise<string> {
  const place = join(folder, "packages");
  cpSync(fileURLToPath(new URL("../packages", import.meta.url)), place, { recursive: true });
  try {
    await promisify(execFile)("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: place,
      timeout: installsWithinMs,
    });
  } catch (cause) {
    throw new Error("cannot install bench/packages: is the package registry within reach?", { cause });
  }
  return place;
}
