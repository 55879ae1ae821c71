/** What an agent looks at over and over: its members, their fencers, and the services of all regions. */
import type { AgentEventBody } from "../core/machine/event.ts";
import type { MemberName } from "../core/model/id.ts";
import type { Service } from "../core/model/topology.ts";
import type { AgentParts, MemberParts } from "./parts.ts";

/** A round that begins every `everyMs`, or at once when asked to; never two at a time. Ends when the signal aborts. */
export interface Round {
  now(): void;
  readonly ended: Promise<void>;
}

export function startRound(everyMs: number, look: () => Promise<void>, signal: AbortSignal): Round {
  let wake: (() => void) | null = null;
  let asked = false;
  const now = () => {
    asked = true;
    wake?.();
  };
  const pause = () =>
    new Promise<void>((resolve) => {
      if (asked || signal.aborted) return resolve();
      const timer = setTimeout(resolve, everyMs);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  signal.addEventListener("abort", () => wake?.(), { once: true });
  const run = async () => {
    while (!signal.aborted) {
      asked = false;
      await look();
      await pause();
      wake = null;
    }
  };
  return { now, ended: run() };
}

export function inspectRound(
  parts: AgentParts,
  name: MemberName,
  unit: MemberParts,
  everyMs: number,
  tell: (event: AgentEventBody) => void,
  signal: AbortSignal,
): Round {
  let burntSeen = 0;
  return startRound(
    everyMs,
    async () => {
      const startedAt = parts.clock.now();
      const { replicas, ...rest } = await unit.database.inspect(Math.max(250, everyMs * 2));
      tell({
        kind: "member-inspected",
        member: name,
        startedAt,
        seen: {
          ...rest,
          replicas: replicas.map(({ member, streaming, flushed }) => ({ member, streaming, flushed })),
        },
      });
      if (rest.state === "primary" || rest.state === "standby") return;
      // Ended by whom? The fencer's word makes the difference between a crash and a fence.
      const fencer = await unit.fencer.state(250).catch(() => null);
      if (!fencer || fencer.burntEpoch === burntSeen) return;
      burntSeen = fencer.burntEpoch;
      tell({ kind: "fencer-fired", member: name, epoch: fencer.burntEpoch });
    },
    signal,
  );
}

export function probeRound(
  parts: AgentParts,
  service: Service,
  everyMs: number,
  tell: (event: AgentEventBody) => void,
  signal: AbortSignal,
): Round {
  return startRound(
    everyMs,
    async () => {
      await Promise.all(
        service.endpoints.map(async (endpoint) => {
          const sample = await parts.prober.http(
            `${endpoint.url}${endpoint.healthPath}`,
            Math.max(500, everyMs),
          );
          if (!signal.aborted)
            tell({ kind: "probed", service: service.name, region: endpoint.region, ok: sample.ok });
        }),
      );
    },
    signal,
  );
}
