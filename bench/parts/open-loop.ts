/** The open-loop client, as a bench sees it: what is to be sent, and what became of each request. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

export interface Stream {
  /** All bytes of the request. */
  readonly request: string;
  readonly perSecond: number;
}

export interface LoadOrder {
  readonly host: string;
  readonly port: number;
  readonly streams: readonly Stream[];
  readonly forMs: number;
  /** Then the client gives up: no answer. */
  readonly timeoutMs: number;
}

/** One place an array for each request, in the order in which they were due. Times since the beginning. */
export interface LoadResult {
  readonly stream: Uint8Array;
  readonly dueMs: Float64Array;
  /** Infinity: there was no connection left to send it by. */
  readonly sentMs: Float64Array;
  /** From when it was due, not from when this process got to it. Infinity: no answer, or not in time. */
  readonly tookMs: Float64Array;
  /** 0: no answer. */
  readonly status: Uint16Array;
  /** How many tries our edge says that it made. */
  readonly tries: Uint16Array;
  count: number;
}

const program = fileURLToPath(new URL("./open-loop-client.ts", import.meta.url));

/** `core`: the only one that the client may run on. */
export async function runLoad(order: LoadOrder, core?: string): Promise<LoadResult> {
  const pinned = core === undefined ? {} : { execPath: "taskset", execArgv: ["-c", core, process.execPath] };
  const child = fork(program, [], { serialization: "advanced", ...pinned });
  const failed = once(child, "exit").then(([code]) => {
    throw new Error(`the client ended with ${code} before it had a result`);
  });
  failed.catch(() => undefined);
  child.send(order);
  const [result] = (await Promise.race([once(child, "message"), failed])) as [LoadResult];
  return result;
}

/** A GET without a body. */
export function get(path: string, field = "x-bench: 1"): string {
  return `GET ${path} HTTP/1.1\r\nhost: bench.example\r\n${field}\r\n\r\n`;
}
