/** An agent's figures in the Prometheus text format. */
import type { AgentState } from "../core/machine/state.ts";
import type { MemberView } from "../core/model/status.ts";
import type { InstantMs } from "../core/model/time.ts";
import { viewStatus } from "./view.ts";

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "gauge" | "counter";
  readonly rows: readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[];
}

export function agentMetrics(
  state: AgentState,
  now: InstantMs,
  counted: { readonly transitions: number; readonly commands: number },
): string {
  const view = viewStatus(state, now);
  const stores = view.dataStores;
  const memory = process.memoryUsage();
  const memberRows = (figureOf: (member: MemberView) => number | null): Family["rows"] =>
    stores.flatMap((store) =>
      store.members.flatMap((member) => {
        const value = figureOf(member);
        return value === null ? [] : [[{ data_store: store.name, member: member.name }, value] as const];
      }),
    );
  const families: Family[] = [
    {
      name: "holdfast_agent_transitions_total",
      help: "Events that the machine was told.",
      type: "counter",
      rows: [[{}, counted.transitions]],
    },
    {
      name: "holdfast_agent_commands_total",
      help: "Commands that it gave.",
      type: "counter",
      rows: [[{}, counted.commands]],
    },
    {
      name: "holdfast_store_seen_seconds",
      help: "Since the control store was last heard of.",
      type: "gauge",
      rows: view.storeSeenMsAgo === null ? [] : [[{}, view.storeSeenMsAgo / 1000]],
    },
    {
      name: "holdfast_epoch",
      help: "Epoch of the data store's lease.",
      type: "gauge",
      rows: stores.map((store) => [{ data_store: store.name }, store.epoch]),
    },
    {
      name: "holdfast_service_level",
      help: "Degradation level of the service in the routing table; 0: everything is on.",
      type: "gauge",
      rows: view.services.map((service) => [{ service: service.name }, service.level]),
    },
    {
      name: "holdfast_has_primary",
      help: "1 when a primary has committed.",
      type: "gauge",
      rows: stores.map((store) => [{ data_store: store.name }, store.primary ? 1 : 0]),
    },
    {
      name: "holdfast_frozen",
      help: "1 when this agent holds writes.",
      type: "gauge",
      rows: stores.map((store) => [{ data_store: store.name }, store.frozen ? 1 : 0]),
    },
    {
      name: "holdfast_durable_acknowledgements",
      help: "Standbys that a commit waits for.",
      type: "gauge",
      rows: stores.map((store) => [{ data_store: store.name }, store.durable.acknowledgements]),
    },
    {
      name: "holdfast_member_lag_bytes",
      help: "Bytes behind the furthest copy.",
      type: "gauge",
      rows: memberRows((member) => member.lagBytes),
    },
    {
      name: "holdfast_member_disk_free_ratio",
      help: "Share of the member's disk that it may still use.",
      type: "gauge",
      rows: memberRows((member) => (member.freePercent === null ? null : member.freePercent / 100)),
    },
    {
      name: "holdfast_member_damaged",
      help: "1 when pages of the copy have failed their checksum, until it is made anew.",
      type: "gauge",
      rows: memberRows((member) => (member.damaged ? 1 : 0)),
    },
    {
      name: "holdfast_region_agent_alive",
      help: "1 when the region's agent is heard of.",
      type: "gauge",
      rows: view.regions.map((region) => [{ region: region.name }, region.agentAlive ? 1 : 0]),
    },
    {
      name: "holdfast_table_generation",
      help: "Generation of the newest routing table.",
      type: "gauge",
      rows: view.routing ? [[{}, view.routing.generation]] : [],
    },
    {
      name: "holdfast_table_applied_generation",
      help: "Generation that this region's data planes go by.",
      type: "gauge",
      rows: [[{}, state.routing.applied]],
    },
    {
      name: "process_resident_memory_bytes",
      help: "Resident memory.",
      type: "gauge",
      rows: [[{}, memory.rss]],
    },
    {
      name: "process_cpu_seconds_total",
      help: "User and system time.",
      type: "counter",
      rows: [[{}, (process.cpuUsage().user + process.cpuUsage().system) / 1e6]],
    },
  ];
  return families.map(render).join("");
}

function render({ name, help, type, rows }: Family): string {
  const lines = rows.map(([labels, value]) => {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}=${JSON.stringify(text)}`);
    return `${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}
