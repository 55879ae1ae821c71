/** One service behind one edge, for tests of its clients; and services that say nothing, or never stop. */
import type { EdgeConfig } from "../../../src/edge/config.ts";
import { edgeConfig, startHere, type TestEdge } from "./edges.ts";
import { type Listener, startOrigin } from "./origins.ts";
import { service, signed, table, target } from "./tables.ts";

export interface Served extends AsyncDisposable {
  readonly edge: TestEdge;
}

export async function startServed(
  state: string,
  listener: Listener,
  more: Partial<EdgeConfig> = {},
): Promise<Served> {
  const origin = await startOrigin(listener);
  const edge = await startHere(edgeConfig(state, more));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", origin.port)]) } })));
  return {
    edge,
    [Symbol.asyncDispose]: async () => {
      await edge[Symbol.asyncDispose]();
      await origin[Symbol.asyncDispose]();
    },
  };
}

/** Under which whoever is slow or silent is ended while a test waits for it. */
export const shortLimits: EdgeConfig["limits"] = {
  headWithinMs: 300,
  bodyWithinMs: 300,
  idleForMs: 300,
  takenWithinMs: 300,
  quietForMs: 60_000,
};

/** Never answers, and sees who goes away. */
export function silentService() {
  const seen = { isAsked: false, isGone: false };
  const listener: Listener = (request) => {
    seen.isAsked = true;
    request.socket.on("close", () => {
      seen.isGone = true;
    });
  };
  return { listener, seen };
}

/** Answers 500 MB, as fast as it is read. */
export function endlessService() {
  const seen = { written: 0 };
  const listener: Listener = (_request, response) => {
    const more = (): void => {
      while (!response.destroyed && seen.written < 500_000_000) {
        seen.written += 65_536;
        if (!response.write(Buffer.alloc(65_536))) {
          response.once("drain", more);
          return;
        }
      }
    };
    more();
  };
  return { listener, seen };
}
