/** A demo as a user starts it: a process of its own, what it wrote down, and the proof that nothing of it is left. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { LabState } from "../../src/lab/state-file.ts";

const cli = fileURLToPath(new URL("../../src/cli/cli.ts", import.meta.url));

/** On a quiet machine 7 s; on a busy one ten times that. */
const startWithinMs = 120_000;

export class DemoProcess {
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly stateFile: string;
  /** In this folder it keeps everything, and removes it at the end. */
  readonly root: string;
  #said = "";
  #printed = "";
  #state: LabState | null = null;
  readonly ended: Promise<number | null>;

  constructor(args: readonly string[]) {
    this.#folder = mkdtempSync(join(tmpdir(), "holdfast-test-"));
    // PostgreSQL runs as another user when we are root.
    chmodSync(this.#folder, 0o755);
    this.stateFile = join(this.#folder, "state.json");
    this.#child = spawn(process.execPath, [cli, "demo", "--state", this.stateFile, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      // Its temporary folder is below ours.
      env: { ...process.env, TMPDIR: this.#folder },
    });
    this.root = this.#folder;
    this.#child.stdout?.on("data", (chunk) => {
      this.#printed += String(chunk);
    });
    this.#child.stderr?.on("data", (chunk) => {
      this.#said += String(chunk);
    });
    this.ended = once(this.#child, "close").then(([code]) => code as number | null);
  }

  /** Resolves when it is redundant and routed; rejects with what it said when it does not come to that. */
  static async start(args: readonly string[]): Promise<DemoProcess> {
    const demo = new DemoProcess(args);
    try {
      await demo.says(/ready: /, startWithinMs);
    } catch (error) {
      await demo.remove();
      throw error;
    }
    return demo;
  }

  get said(): string {
    return this.#said;
  }

  get printed(): string {
    return this.#printed;
  }

  async says(pattern: RegExp, withinMs: number): Promise<void> {
    await eventually(`the demo says ${pattern}`, withinMs, () => {
      this.#look();
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        assert.fail(
          `the demo has ended with ${this.#child.exitCode ?? this.#child.signalCode}:\n${this.#said}`,
        );
      return pattern.test(this.#said);
    }).catch((error) => {
      throw new Error(`${(error as Error).message}; it said:\n${this.#said}`);
    });
  }

  /** As it is written down now. */
  get state(): LabState {
    this.#look();
    if (!this.#state) throw new Error(`nothing is written down in ${this.stateFile}`);
    return this.#state;
  }

  signal(signal: NodeJS.Signals): void {
    this.#look();
    this.#child.kill(signal);
  }

  /** Asserts that no process, no port and, unless it was killed, no file of it is left. */
  async leavesNothing(options: { readonly withinMs: number; readonly files: boolean }): Promise<void> {
    const { withinMs, files } = options;
    let left: readonly string[] = [];
    await eventually("no process is left", withinMs, () => {
      left = processesOf(this.#folder);
      return left.length === 0;
    }).catch(() => assert.fail(`left running:\n${left.join("\n")}`));
    for (const port of this.#state ? portsOf(this.#state) : [])
      assert.equal(await isOpen(port), false, `somebody still listens on ${port}`);
    // Compiled code is kept for the next start, on purpose.
    const kept = readdirSync(this.#folder).filter((name) => !name.startsWith("holdfast-compile-cache"));
    if (files) assert.deepEqual(kept, []);
  }

  /** Ctrl-C, as a user would: asserts that it ends well and leaves nothing. */
  async end(): Promise<void> {
    try {
      this.signal("SIGINT");
      assert.equal(await this.ended, 0, this.said);
      await this.leavesNothing({ withinMs: 5000, files: true });
    } finally {
      await this.remove();
    }
  }

  /** Ends what still runs, without asserting anything. */
  async remove(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill("SIGINT");
      const force = setTimeout(() => this.#child.kill("SIGKILL"), 20_000);
      await this.ended;
      clearTimeout(force);
    }
    for (const line of processesOf(this.#folder)) {
      try {
        process.kill(Number(line.split(" ")[0]), "SIGKILL");
      } catch {
        // Gone in between.
      }
    }
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  #look(): void {
    if (existsSync(this.stateFile))
      this.#state = JSON.parse(readFileSync(this.stateFile, "utf8")) as LabState;
  }
}

/** `PID command` of all that works in the folder or was told of it. */
function processesOf(folder: string): readonly string[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
        const isOurs = command.includes(folder) || readlinkSync(`/proc/${pid}/cwd`).startsWith(`${folder}/`);
        return isOurs ? [`${pid} ${command}`] : [];
      } catch {
        return [];
      }
    });
}

function portsOf(state: LabState): readonly number[] {
  const urls = [
    state.control,
    ...state.regions.flatMap(({ agent, edge, edgeAdmin, database, service }) => [
      agent,
      edge,
      edgeAdmin,
      database,
      service,
    ]),
    ...state.members.flatMap(({ gate, direct }) => [gate, direct]),
  ];
  return urls.map((url) => Number(new URL(url).port));
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

export async function eventually(
  what: string,
  withinMs: number,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const until = performance.now() + withinMs;
  while (!(await holds())) {
    if (until < performance.now()) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(20);
  }
}
