/** Services behind an edge, for tests: in this process, or as a process that can be killed and frozen. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export interface Origin extends AsyncDisposable {
  readonly port: number;
}

export type Listener = (request: IncomingMessage, response: ServerResponse) => unknown;

export async function startOrigin(listener: Listener): Promise<Origin> {
  const server = createServer((request, response) => void listener(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export async function readAll(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text;
}

export interface OriginProcess extends Origin {
  readonly child: ChildProcess;
}

const program = fileURLToPath(new URL("./origin-process.ts", import.meta.url));

/** Answers every request with its name. `port` 0: any free one. */
export async function startOriginProcess(name: string, port = 0): Promise<OriginProcess> {
  const child = spawn(process.execPath, [program, name, String(port)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface(child.stdout), "line")) as [string];
  return {
    port: Number(line),
    child,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}
