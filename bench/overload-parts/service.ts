/** The service under load, as a process, and what it counts. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** 16 at once, 20 ms each: some 780 a second, which leaves two slow cores room for five times as many refusals. */
const workers = 16;
const serviceMs = 20;

export interface Counts {
  readonly offered: number;
  readonly finished: number;
  readonly under: number;
  readonly underMost: number;
}

export interface Service {
  readonly port: number;
  counts(): Promise<Counts>;
  signal(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
}

const program = fileURLToPath(new URL("./origin.ts", import.meta.url));

export async function startService(): Promise<Service> {
  const child = spawn(process.execPath, [program, String(workers), String(serviceMs)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface(child.stdout), "line")) as [string];
  const port = Number(line);
  return {
    port,
    counts: async () => (await (await fetch(`http://127.0.0.1:${port}/count`)).json()) as Counts,
    signal: (signal) => child.kill(signal),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}
