/** Where drills are asked for while a lab runs: one at a time, each with an end of its own. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isSameToken } from "../adapters/adapters.ts";
import type { Topology } from "../core/model/topology.ts";
import { type FaultName, faultDurationMs, faultTexts, isFault } from "./faults.ts";
import { dataStoreName } from "./layout.ts";
import { monotonicMs } from "./monotonic.ts";
import type { Observer } from "./observer.ts";
import { runFault, untilRedundant } from "./rehearsal.ts";
import type { World } from "./world.ts";

export interface DrillView {
  readonly id: number;
  readonly fault: FaultName;
  readonly region: string;
  readonly forMs: number;
  readonly status: "running" | "succeeded" | "failed";
  /** What is being waited for, or why it failed. */
  readonly detail: string;
  readonly epochBefore: number;
  readonly epochAfter: number | null;
  /** From the fault until another primary had committed; null: the primary did not move. */
  readonly committedAfterMs: number | null;
  /** From the fault until every standby streamed again. */
  readonly wholeAfterMs: number | null;
}

export interface ControlParts {
  readonly world: World;
  readonly observer: Observer;
  readonly topology: Topology;
  readonly token: string;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

const bodyMaxBytes = 4096;
const forMaxMs = 3_600_000;

export class DrillControl {
  #drills: DrillView[] = [];
  #parts: ControlParts | null = null;
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  /** Resolves with its URL. It refuses until `serve` tells it what it is for. */
  async listen(): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(0, "127.0.0.1", resolve);
    });
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  serve(parts: ControlParts): void {
    this.#parts = parts;
  }

  /** Begins a drill, or says why not. */
  begin(fault: string, region: string | null, forMs: number | null): DrillView | string {
    const parts = this.#parts;
    if (!parts) return "the lab is still starting";
    if (!isFault(fault)) return `no fault ${fault}; there is: ${Object.keys(faultTexts).join(", ")}`;
    if (this.#drills.some((drill) => drill.status === "running"))
      return "another drill is running: one at a time";
    const lease = parts.observer.seen.leases.get(dataStoreName);
    if (!lease) return "there is no primary yet";
    const primaryRegion =
      parts.topology.dataStores[0]?.members.find((member) => member.name === lease.holder)?.region ?? "";
    const where = region ?? primaryRegion;
    const regions = parts.world.layout.regions.map((one) => one.name);
    if (!regions.includes(where)) return `no region ${where}; there is: ${regions.join(", ")}`;
    const durationMs = forMs ?? faultDurationMs[fault];
    if (!(0 <= durationMs && durationMs <= forMaxMs))
      return `a drill lasts at most an hour, not ${durationMs} ms`;
    const drill: DrillView = {
      id: this.#drills.length + 1,
      fault,
      region: where,
      forMs: durationMs,
      status: "running",
      detail: faultTexts[fault],
      epochBefore: lease.epoch,
      epochAfter: null,
      committedAfterMs: null,
      wholeAfterMs: null,
    };
    this.#drills.push(drill);
    void this.#run(parts, drill);
    return drill;
  }

  get(id: number): DrillView | null {
    return this.#drills.find((drill) => drill.id === id) ?? null;
  }

  get latest(): DrillView | null {
    return this.#drills.at(-1) ?? null;
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #run(parts: ControlParts, drill: DrillView): Promise<void> {
    const update = (change: Partial<DrillView>) => {
      this.#drills = this.#drills.map((one) => (one.id === drill.id ? { ...one, ...change } : one));
    };
    parts.say(`drill ${drill.id}: ${drill.fault} in ${drill.region}: ${faultTexts[drill.fault]}`);
    try {
      const { injection } = await runFault(
        { ...parts, fault: drill.fault },
        drill.region,
        drill.forMs,
        drill.epochBefore,
      );
      const turn = parts.observer.turns.find(
        (one) =>
          one.at > injection.at && one.record.phase === "committed" && one.record.epoch > drill.epochBefore,
      );
      update({
        detail: "the fault is over; waiting until every standby streams",
        committedAfterMs: turn ? turn.at - injection.at : null,
      });
      await untilRedundant(parts.observer, parts.topology, 120_000, parts.signal);
      const epochAfter = parts.observer.seen.leases.get(dataStoreName)?.epoch ?? null;
      update({
        status: "succeeded",
        detail: "everything is whole again",
        epochAfter,
        wholeAfterMs: monotonicMs() - injection.at,
      });
      parts.say(`drill ${drill.id}: everything is whole again`);
    } catch (error) {
      update({ status: "failed", detail: (error as Error).message });
      parts.say(`drill ${drill.id} failed: ${(error as Error).message}`);
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const send = (status: number, body: object) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(`${JSON.stringify(body)}\n`);
    };
    const parts = this.#parts;
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1] ?? "";
    if (!parts) return send(503, { detail: "the lab is still starting" });
    if (!isSameToken(token, parts.token)) return send(401, { detail: "the bearer token is not the lab's" });
    if (request.method === "GET") {
      const drill = this.get(Number(/^\/v1\/drills\/(\d+)$/.exec(request.url ?? "")?.[1] ?? -1));
      return drill ? send(200, drill) : send(404, { detail: "no such drill" });
    }
    if (request.method !== "POST" || request.url !== "/v1/drills")
      return send(404, { detail: "there is POST /v1/drills and GET /v1/drills/ID" });
    try {
      const body = (await readJson(request)) as {
        fault?: string;
        region?: string | null;
        forMs?: number | null;
      };
      const begun = this.begin(String(body.fault), body.region ?? null, body.forMs ?? null);
      return typeof begun === "string" ? send(409, { detail: begun }) : send(202, begun);
    } catch (error) {
      return send(400, { detail: (error as Error).message });
    }
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > bodyMaxBytes) throw new Error(`the body has more than ${bodyMaxBytes} bytes`);
  }
  return JSON.parse(text);
}
