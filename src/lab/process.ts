/** One real process of the lab: started with its log, ready when it says so, started again when it dies unasked. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ownUserId } from "./net/enclosure.ts";

export type Role = "agent" | "edge" | "etcd" | "fencer" | "service";

export interface ProcessSpec {
  /** Unique in the lab, such as `agent eu-west`. */
  readonly name: string;
  readonly role: Role;
  readonly region: string;
  /** Default: this very Node. */
  readonly command?: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
  /** What a line of its output contains once it can be used. */
  readonly readyText: string;
  /** Put before the command, such as `["nsenter", "--net=/run/netns/west"]`. */
  readonly prefix?: readonly string[];
}

/** As systemd would: at once, then slower, so that what cannot start does not eat the machine. */
const restartFirstMs = 100;
const restartMaxMs = 5000;
/** A dozen processes load the same files: compiled once, they start in a third of the time. */
const compileCache = join(tmpdir(), `holdfast-compile-cache-${ownUserId()}`);
/** A second on a quiet machine; on one with a load of 30 it was more than a minute. */
const readyWithinMs = 180_000;

export class LabProcess {
  readonly spec: ProcessSpec;
  #child: ChildProcess | null = null;
  /** Whether it is meant to run: a death is repaired only then. */
  #wanted = false;
  #restartMs = restartFirstMs;
  #logFrom = 0;
  restarts = 0;

  constructor(spec: ProcessSpec) {
    this.spec = spec;
  }

  /** Of the living process; null: none. */
  get pid(): number | null {
    const child = this.#child;
    return child && child.exitCode === null && child.signalCode === null ? (child.pid ?? null) : null;
  }

  start(): void {
    this.#wanted = true;
    if (this.pid !== null) return;
    this.#logFrom = sizeOf(this.spec.logFile);
    const log = openSync(this.spec.logFile, "a", 0o600);
    try {
      const [command, ...rest] = [
        ...(this.spec.prefix ?? []),
        this.spec.command ?? process.execPath,
        ...this.spec.args,
      ];
      const child = spawn(command ?? process.execPath, rest, {
        stdio: ["ignore", log, log],
        env: { ...process.env, ...this.spec.env, NODE_NO_WARNINGS: "1", NODE_COMPILE_CACHE: compileCache },
      });
      this.#child = child;
      child.on("error", () => undefined);
      child.on("exit", () => this.#died(child));
    } finally {
      closeSync(log);
    }
  }

  /**
   * Resolves when it has said that it is ready; rejects with the end of its log when it does not. False: it was ended on
   * purpose meanwhile, by a fault that struck while it came back, and whoever did that starts it again.
   */
  async ready(signal: AbortSignal): Promise<boolean> {
    const until = performance.now() + readyWithinMs;
    while (!this.#says(this.spec.readyText)) {
      if (signal.aborted) throw signal.reason;
      if (!this.#wanted) return false;
      if (performance.now() > until)
        throw new Error(
          `${this.spec.name} did not become ready within ${readyWithinMs / 1000} s; the end of ${this.spec.logFile}:\n${this.logTail()}`,
        );
      await sleep(20);
    }
    this.#restartMs = restartFirstMs;
    return true;
  }

  /** SIGKILL (or another signal); what dies of it is started again only if `restart`. */
  kill(signal: NodeJS.Signals = "SIGKILL", restart = false): void {
    this.#wanted = restart;
    this.signal(signal);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.pid !== null) this.#child?.kill(signal);
  }

  /** In order, then by force after `graceMs`; resolves when it is gone. */
  async end(graceMs = 3000): Promise<void> {
    this.#wanted = false;
    const child = this.#child;
    if (!child || this.pid === null) return;
    const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill("SIGCONT");
    child.kill("SIGTERM");
    const force = setTimeout(() => child.kill("SIGKILL"), graceMs);
    await gone;
    clearTimeout(force);
  }

  async gone(): Promise<void> {
    while (this.pid !== null) await sleep(5);
  }

  /** The last lines of what it wrote, for error messages. */
  logTail(lines = 15): string {
    try {
      return readFileSync(this.spec.logFile, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
    } catch {
      return "(no log)";
    }
  }

  #says(text: string): boolean {
    try {
      return readFileSync(this.spec.logFile).subarray(this.#logFrom).includes(text);
    } catch {
      return false;
    }
  }

  #died(child: ChildProcess): void {
    if (this.#child !== child || !this.#wanted) return;
    this.restarts++;
    const inMs = this.#restartMs;
    this.#restartMs = Math.min(restartMaxMs, this.#restartMs * 2);
    setTimeout(() => {
      if (this.#wanted && this.#child === child) this.start();
    }, inMs).unref();
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}
