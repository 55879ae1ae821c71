/** The API's questions, answered from what the agent knows and what the store keeps. */
import { degradationsOf } from "../core/model/degradation.ts";
import type { RequestRecord } from "../core/model/record.ts";
import { recordKeys } from "../core/model/record.ts";
import type { LevelBody, RequestBody } from "../core/model/status.ts";
import type { IncidentRecord } from "../core/review/incident.ts";
import type { Agent } from "./agent.ts";
import type { ApiEvent, ApiHandlers, DegradeOutcome, SubmitOutcome } from "./api/handlers.ts";
import { problem } from "./api/problem.ts";
import { decodeRecord } from "./decode.ts";
import { orderLevel } from "./levels.ts";
import { agentMetrics } from "./metrics.ts";
import type { AgentParts } from "./parts.ts";
import { viewStatus } from "./view.ts";

const readTimeoutMs = 2000;
const peerAnswerMs = 1000;
/** A status a second, so that whoever watches needs not to ask. */
const eventEveryMs = 1000;

/** Members come from the host that it runs on, and from nobody who asks. */
type AskedAgent = Omit<Agent, "addMember">;

export function createHandlers(agent: AskedAgent, parts: AgentParts): ApiHandlers {
  const { clock, store } = parts;
  const known = new Map<string, IncidentRecord>();

  const incidents = async (): Promise<IncidentRecord[]> => {
    const { records } = await store.list("incident/", AbortSignal.timeout(readTimeoutMs));
    for (const record of records) {
      const decoded = decodeRecord(record.key, record.value);
      if (decoded.kind === "decoded")
        known.set((decoded.record as IncidentRecord).id, decoded.record as IncidentRecord);
    }
    return [...known.values()].sort((a, b) => b.impactAt - a.impactAt);
  };

  const submit = async (id: string, body: RequestBody, signal: AbortSignal): Promise<SubmitOutcome> => {
    const refused = whyRefused(agent, body);
    if (refused) return { kind: "refused", problem: refused };
    const record: RequestRecord = { schema: 1, id, ...body, at: clock.wall(), status: "pending", detail: "" };
    const outcome = await store.compareAndSwap(recordKeys.request(id), 0, JSON.stringify(record), signal);
    if (outcome.kind === "succeeded") return { kind: "accepted", record, repeated: false };
    if (outcome.kind === "conflict" && outcome.current) {
      const decoded = decodeRecord(outcome.current.key, outcome.current.value);
      if (decoded.kind === "decoded")
        return { kind: "accepted", record: decoded.record as RequestRecord, repeated: true };
    }
    const because = outcome.kind === "unknown" ? outcome.because : "what is there cannot be read";
    return {
      kind: "refused",
      problem: problem(
        "HOLDFAST_REQUEST_UNAVAILABLE",
        `the request could not be written to the control store: ${because}`,
      ),
    };
  };

  const degradations = () =>
    Object.values(agent.state().levels).flatMap(({ record }) => degradationsOf(record));

  const degrade = async (service: string, body: LevelBody, signal: AbortSignal): Promise<DegradeOutcome> => {
    const refused = whyNoLevel(agent, service, body.level);
    if (refused) return { kind: "refused", problem: refused };
    const outcome = await orderLevel(parts, service, body, signal).catch((error: Error) => ({
      kind: "failed" as const,
      because: error.message,
    }));
    if (outcome.kind === "ordered") return outcome;
    const detail = `the level of ${service} could not be ordered: ${outcome.because}`;
    return { kind: "refused", problem: problem("HOLDFAST_REQUEST_UNAVAILABLE", detail) };
  };

  return {
    ready() {
      const state = agent.state();
      if (!state.storeLoaded) return { ready: false, because: "the control store has not been read yet" };
      const unseenMs = clock.now() - state.storeSeenAt;
      return unseenMs <= state.topology.profile.leaseMs
        ? { ready: true, because: "" }
        : { ready: false, because: `the control store has not answered for ${Math.round(unseenMs)} ms` };
    },
    status: () => viewStatus(agent.state(), clock.now()),
    routers: () => parts.planes.view(AbortSignal.timeout(readTimeoutMs)),
    submit,
    degrade,
    request: (id) => agent.state().requests[id]?.record ?? null,
    incidents: async () =>
      [
        ...(await incidents()).map(({ id, kind, dataStore, from, to, impactAt, status }) => ({
          id,
          title: `${kind} of ${dataStore}${from ? ` from ${from}` : ""} to ${to}`,
          beganAt: new Date(impactAt).toISOString(),
          status,
        })),
        ...degradations().map(({ id, service, level, by, at, ended }) => ({
          id,
          title: `${service} degraded to level ${level} by ${by}`,
          beganAt: new Date(at).toISOString(),
          status: ended === null ? "stands" : "ended",
        })),
      ].sort((a, b) => (a.beganAt < b.beganAt ? 1 : -1)),
    incident: async (id) =>
      degradations().find((degradation) => degradation.id === id) ??
      known.get(id) ??
      (await incidents()).find((incident) => incident.id === id) ??
      null,
    peer: (question) => agent.answerPeer(question, peerAnswerMs),
    seal: (notice) => agent.takeSeal(notice),
    metrics: () => agentMetrics(agent.state(), clock.now(), agent.counted()),
    async *events(signal): AsyncIterable<ApiEvent> {
      for (let number = 1; !signal.aborted; number++) {
        yield {
          id: `${agent.state().boot}-${number}`,
          kind: "status",
          data: viewStatus(agent.state(), clock.now()),
        };
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, eventEveryMs);
          const ended = () => {
            clearTimeout(timer);
            resolve();
          };
          signal.addEventListener("abort", ended, { once: true });
        });
      }
    },
  };
}

function whyNoLevel(agent: AskedAgent, name: string, level: number) {
  const { topology } = agent.state();
  const service = topology.services.find((candidate) => candidate.name === name);
  if (!service) {
    const names = topology.services.map((one) => one.name).join(", ");
    return problem(
      "HOLDFAST_REQUEST_INVALID",
      `no service ${name} in topology ${topology.name}; there is: ${names}`,
    );
  }
  const steps = service.levels?.steps ?? [];
  if (level <= steps.length) return null;
  const known =
    steps.length === 0
      ? "it has none: add levels to it in the topology"
      : `it has ${["0 (everything)", ...steps.map((step, index) => `${index + 1} (${step.name})`)].join(", ")}`;
  return problem("HOLDFAST_REQUEST_INVALID", `${name} has no level ${level}; ${known}`);
}

/** What can be told at the door: names that are not in the topology, an epoch that is over, a kind that nobody serves. */
function whyRefused(agent: AskedAgent, body: RequestBody) {
  const { topology, keepers } = agent.state();
  const names = (list: readonly { readonly name: string }[]) => list.map((one) => one.name).join(", ");
  if (body.kind === "mode")
    return problem(
      "HOLDFAST_REQUEST_INVALID",
      "the mode is part of the topology: change it there, and start the agents with it",
    );
  const store = topology.dataStores.find((candidate) => candidate.name === body.dataStore);
  if (!store)
    return problem(
      "HOLDFAST_REQUEST_INVALID",
      `no data store ${body.dataStore} in topology ${topology.name}; there is: ${names(topology.dataStores)}`,
    );
  if (body.toRegion !== null && !topology.regions.some((region) => region.name === body.toRegion))
    return problem(
      "HOLDFAST_REQUEST_INVALID",
      `no region ${body.toRegion} in topology ${topology.name}; there is: ${names(topology.regions)}`,
    );
  const epoch = keepers[store.name]?.lease?.record.epoch ?? 0;
  if (body.ifEpoch !== 0 && body.ifEpoch !== epoch)
    return problem(
      "HOLDFAST_REQUEST_CONFLICT",
      `asked for epoch ${body.ifEpoch}, but ${store.name} is at epoch ${epoch}; look at the status and ask again`,
    );
  return null;
}
