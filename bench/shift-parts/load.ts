/** The client process, as the bench sees it. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

export interface Seen {
  /** When it was due: CLOCK_MONOTONIC of the machine, the same in all processes. */
  readonly atMs: number;
  readonly tookMs: number;
  /** Empty: nobody said. */
  readonly region: string;
  /** 0: no answer. */
  readonly status: number;
}

export interface Load {
  /** What has ended since the last time. */
  collect(): Promise<readonly Seen[]>;
  stop(): Promise<void>;
}

export async function startLoad(url: string, host: string, perSecond: number): Promise<Load> {
  const program = fileURLToPath(new URL("./client.ts", import.meta.url));
  const child = fork(program, [url, host, String(perSecond)], { serialization: "advanced" });
  await once(child, "message");
  return {
    async collect() {
      child.send("collect");
      const [seen] = (await once(child, "message")) as [readonly Seen[]];
      return [...seen].sort((a, b) => a.atMs - b.atMs);
    },
    async stop() {
      if (!child.connected) return;
      const gone = once(child, "exit");
      child.disconnect();
      await gone;
    },
  };
}

export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
