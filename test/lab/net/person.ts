/** Somebody who is not root, with folders of their own: ourselves, or a user of every Debian when we are root. */
import assert from "node:assert/strict";
import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const cli = fileURLToPath(new URL("../../../src/cli/cli.ts", import.meta.url));
const source = new URL("../../../src/lab/net/", import.meta.url);
const isRoot = process.geteuid?.() === 0;
/** Not `nobody`: whom a namespace does not know is shown by that number. */
const userOfDebian = "daemon";

export class Person implements Disposable {
  readonly uid: number;
  /** Theirs, for everything temporary. */
  readonly folder: string;
  readonly #prefix: readonly string[];
  readonly #env: NodeJS.ProcessEnv;

  constructor() {
    const [uid, gid] = isRoot ? idsOf(userOfDebian) : [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
    this.uid = uid;
    this.folder = mkdtempSync(join(tmpdir(), "hf-person-"));
    const home = join(this.folder, "home");
    mkdirSync(home);
    for (const folder of [this.folder, home]) chownSync(folder, uid, gid);
    const user = [`--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
    this.#prefix = isRoot ? ["setpriv", ...user] : [];
    // As a login would: without the folders of root's tools.
    const PATH = "/usr/local/bin:/usr/bin:/bin";
    this.#env = { ...process.env, HOME: home, TMPDIR: this.folder, XDG_CACHE_HOME: undefined, PATH };
  }

  get labsFolder(): string {
    return join(this.folder, `holdfast-labs-${this.uid}`);
  }

  /** The process that is returned becomes the command: same id. */
  start(...args: readonly string[]): ChildProcess {
    const [command = "", ...rest] = [...this.#prefix, process.execPath, cli, ...args];
    return spawn(command, rest, { stdio: ["ignore", "ignore", "inherit"], env: this.#env });
  }

  holdfast(...args: readonly string[]): SpawnSyncReturns<string> {
    return this.#run([process.execPath, cli, ...args]);
  }

  /** As `holdfast`, where users may have no namespaces: the limit is one of a namespace, too. */
  holdfastAlone(...args: readonly string[]): SpawnSyncReturns<string> {
    const same = ["--user", "--map-current-user", "--keep-caps"];
    const forbid = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"';
    return this.#run(["unshare", ...same, "sh", "-c", forbid, "sh", process.execPath, cli, ...args]);
  }

  /** What the person finds when they call parts of the lab; `script` has the exports of `file`, and ends with `tell(value)`. */
  ask(file: string, script: string): unknown {
    const text = `import * as part from "${new URL(file, source).href}"; const tell = (value) => console.log(JSON.stringify(value)); ${script}`;
    const { status, stdout, stderr } = this.#run([process.execPath, "--input-type=module", "-e", text]);
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  #run(what: readonly string[]): SpawnSyncReturns<string> {
    const [command = "", ...rest] = [...this.#prefix, ...what];
    return spawnSync(command, rest, {
      encoding: "utf8",
      env: this.#env,
      cwd: this.folder,
      timeout: 120_000,
      killSignal: "SIGKILL",
    });
  }
}

function idsOf(name: string): [uid: number, gid: number] {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((each) => each.startsWith(`${name}:`));
  assert.ok(line, `there is no user ${name}`);
  const [, , uid, gid] = line.split(":").map(Number);
  return [uid ?? 0, gid ?? 0];
}
