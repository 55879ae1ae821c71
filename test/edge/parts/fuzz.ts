/** Malicious clients against a running edge, many at once, each on connections of its own. */
import { connect } from "node:net";
import { Chance, type Malice, nextMalice } from "./malformed.ts";

/** An edge that waits for the rest of what was cut off gets no longer than this: then the client goes away. */
const waitMs = 100;
/** After an answer: what comes of the requests behind it. */
const afterAnswerMs = 20;

export interface FuzzOrder {
  readonly port: number;
  readonly seed: number;
  readonly requests: number;
  /** Clients at once. */
  readonly clients: number;
  /** Then it ends, however many are left. */
  readonly forMs: number;
  readonly everyRequests: number;
  onProgress(sent: number): Promise<void> | void;
}

export interface Fuzzed {
  readonly requests: number;
  readonly connections: number;
  /** First status of each connection; `none`: no answer. */
  readonly answers: Readonly<Record<string, number>>;
}

export async function fuzz(order: FuzzOrder): Promise<Fuzzed> {
  const chance = new Chance(order.seed);
  const answers: Record<string, number> = {};
  const until = performance.now() + order.forMs;
  let requests = 0;
  let connections = 0;
  let told = 0;
  const client = async (): Promise<void> => {
    while (requests < order.requests && performance.now() < until) {
      const malice = nextMalice(chance);
      requests += malice.requests;
      connections++;
      const answer = await commit(order.port, malice);
      answers[answer] = (answers[answer] ?? 0) + 1;
      if (told + order.everyRequests <= requests) {
        told = requests;
        await order.onProgress(requests);
      }
    }
  };
  await Promise.all(Array.from({ length: order.clients }, client));
  return { requests, connections, answers };
}

/** Resolves with the first status, when the connection is over. */
function commit(port: number, { pieces, end }: Malice): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    let status = "none";
    let timer = setTimeout(() => socket.destroy(), waitMs);
    socket
      .on("data", (bytes) => {
        if (status === "none") status = bytes.toString("latin1", 9, 12);
        clearTimeout(timer);
        timer = setTimeout(() => socket.destroy(), afterAnswerMs);
      })
      .on("error", () => undefined)
      .on("close", () => {
        clearTimeout(timer);
        resolve(status);
      });
    for (const piece of pieces) socket.write(piece);
    if (end === "half") socket.end();
    if (end === "reset") socket.once("connect", () => setImmediate(() => socket.resetAndDestroy()));
  });
}
