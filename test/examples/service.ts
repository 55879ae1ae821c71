/** The orders service as a process of its own, on a free port, ended with the test. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export interface TestService extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  post(order: unknown, headers?: Readonly<Record<string, string>>): Promise<Response>;
  get(path: string): Promise<Response>;
}

const main = new URL("../../examples/orders/main.ts", import.meta.url).pathname;

export async function startService(environment: Readonly<Record<string, string>>): Promise<TestService> {
  const child = spawn(process.execPath, [main], {
    env: { ...process.env, PORT: "0", ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const listening = Promise.withResolvers<string>();
  createInterface(child.stdout).on("line", (line) => {
    const said = JSON.parse(line) as { listening?: string };
    if (said.listening) listening.resolve(said.listening);
  });
  void exited.then(() => listening.reject(new Error("the orders service ended before it listened")));
  const url = await listening.promise;
  return {
    url,
    pid: Number(child.pid),
    async stop() {
      child.kill("SIGTERM");
      await exited;
      return child.exitCode;
    },
    post: (order, headers = {}) =>
      fetch(`${url}/orders`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify(order),
        signal: AbortSignal.timeout(60_000),
      }),
    get: (path) => fetch(`${url}${path}`, { signal: AbortSignal.timeout(60_000) }),
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await exited;
    },
  };
}
