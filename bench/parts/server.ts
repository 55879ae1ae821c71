/** What benches start beside one another: a free port, the wait until something answers there, and its end. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const answersWithinMs = 20_000;

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function untilAnswers(port: number): Promise<void> {
  const until = performance.now() + answersWithinMs;
  for (;;) {
    try {
      await (await fetch(`http://127.0.0.1:${port}/`)).text();
      return;
    } catch (cause) {
      if (until < performance.now())
        throw new Error(`nothing answers on port ${port} after ${answersWithinMs / 1000} s`, { cause });
      await sleep(20);
    }
  }
}

/** As `untilAnswers`, but not a byte is sent. */
export async function untilListens(port: number): Promise<void> {
  const until = performance.now() + answersWithinMs;
  for (;;) {
    const socket = connect({ host: "127.0.0.1", port });
    const listens = await Promise.race([
      once(socket, "connect").then(() => true),
      once(socket, "error").then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (listens) return;
    if (until < performance.now())
      throw new Error(`nothing listens on port ${port} after ${answersWithinMs / 1000} s`);
    await sleep(20);
  }
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  await gone;
}
