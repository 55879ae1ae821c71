/** The package as others get it: packed, installed into an empty project, imported, and compiled against. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));

const consumer = `
import pg from "pg";
import express from "express";
import { createIdempotency, idempotentExpress, idempotencyMigration, levelFlags, nodeContext, requestContext, tracedFetch } from "holdfast/sdk";

const pool = new pg.Pool();
const idempotency = createIdempotency({ connect: () => pool.connect() });
const app = express();
app.use(nodeContext, express.json());
app.post("/orders", idempotentExpress(idempotency, {
  scopeOf: (request: express.Request) => request.get("x-account") ?? "",
  async work(session, { request, body }) {
    const { rows } = await session.query<{ id: string }>("INSERT INTO orders DEFAULT VALUES RETURNING id");
    return { status: 201, headers: { location: request.path + "/" + rows[0]?.id }, body };
  },
}));
const mode: "rw" | "ro" | "static" | null | undefined = requestContext()?.mode;
// @ts-expect-error a route says whose keys they are
idempotentExpress(idempotency, { work: () => ({ status: 200 }) });
export const used = [mode, idempotencyMigration("a.b"), levelFlags({ 0: { a: true } }).level, tracedFetch];
`;

test("a packed and installed package gives the SDK as JavaScript, with types, and needs no type stripping", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-sdk-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const npm = { cwd: root, timeout: 240_000, maxBuffer: 64 * 1024 * 1024 };
  const packed = await run("npm", ["pack", "--json", "--pack-destination", folder], npm);
  const [tarball] = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
  assert.ok(tarball, packed.stderr);

  const project = join(folder, "project");
  const installed = join(project, "node_modules", "holdfast");
  mkdirSync(installed, { recursive: true });
  // As npm unpacks it; its dependencies are the command line's, and the SDK needs none of them.
  await run("tar", ["-xzf", join(folder, tarball), "--strip-components=1", "-C", installed]);
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "shop", type: "module" }));

  const names = "import * as sdk from 'holdfast/sdk'; console.log(JSON.stringify(Object.keys(sdk)))";
  const said = await run(
    process.execPath,
    ["--no-experimental-strip-types", "--input-type=module", "-e", names],
    {
      cwd: project,
    },
  );
  const door = readFileSync(join(root, "src/sdk/sdk.ts"), "utf8");
  const values = [...door.matchAll(/export \{([^}]*)\} from/g)]
    .flatMap(([, list]) => (list as string).split(","))
    .map((name) => name.trim())
    .filter((name) => name !== "" && !name.startsWith("type "));
  assert.deepEqual((JSON.parse(said.stdout) as string[]).sort(), values.sort());

  // As CommonJS asks for it.
  const required =
    "console.log(typeof require('holdfast/sdk').createIdempotency, require('holdfast/package.json').name)";
  const asked = await run(process.execPath, ["-e", required], { cwd: project });
  assert.equal(asked.stdout.trim(), "function holdfast");

  // Types are checked in full, those of the package too, by a project with settings of its own.
  for (const name of ["pg", "pg-types", "pg-protocol", "express", "@types", "undici-types"])
    symlinkSync(join(root, "node_modules", name), join(project, "node_modules", name));
  writeFileSync(join(project, "shop.ts"), consumer);
  const compilerOptions = {
    strict: true,
    noEmit: true,
    module: "nodenext",
    target: "es2023",
    types: ["node"],
  };
  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({ compilerOptions: { ...compilerOptions, skipLibCheck: false }, files: ["shop.ts"] }),
  );
  const tsc = join(root, "node_modules", ".bin", "tsc");
  const checked = await run(tsc, ["-p", project], { cwd: project }).catch(
    (error: { stdout: string }) => error,
  );
  assert.equal(checked.stdout, "");
});
