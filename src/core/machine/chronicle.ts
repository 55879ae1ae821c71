/** A change of primary that this agent leads: marks as they come, validated before it is declared, and written down. */
import type { LeaseRecord } from "../model/record.ts";
import { recordKeys } from "../model/record.ts";
import { type Chronicle, emptyChronicle, type IncidentRecord, withStep } from "../review/incident.ts";
import { endRequest } from "./change.ts";
import type { WriteOutcome } from "./event.ts";
import type { OpenIncident } from "./state.ts";
import { isAlive, type KeeperDraft, nextId, note, type Turn, wakeKeeperAt } from "./turn.ts";

export function openIncident(
  turn: Turn,
  keeper: KeeperDraft,
  before: LeaseRecord | null,
  claimed: LeaseRecord,
): void {
  const startedAt = Math.min(keeper.heardAt, turn.at);
  const request = claimed.handover ? turn.state.requests[claimed.handover.request]?.record : undefined;
  const kind =
    claimed.primary === null
      ? "bootstrap"
      : request?.kind === "failback"
        ? "failback"
        : claimed.handover
          ? "switchover"
          : "failover";
  const since = (at: number | null) => (at === null ? null : Math.max(0, at - startedAt));
  const decided = since(turn.at);
  const record: IncidentRecord = {
    schema: 1,
    id: `${keeper.dataStore.name}-${claimed.epoch}`,
    kind,
    dataStore: keeper.dataStore.name,
    epochBefore: before?.primary?.epoch ?? 0,
    epoch: claimed.epoch,
    from: before?.primary?.member ?? null,
    to: claimed.holder,
    writtenBy: turn.state.self,
    impactAt: turn.wall - (turn.at - startedAt),
    chronicle: {
      ...emptyChronicle,
      t1Detected: since(keeper.overSince ?? turn.at),
      t2Acknowledged: decided,
      t3Decided: decided,
      // The claim is only possible when the old holder is fenced: vacant by its word, or expired by everybody's clock.
      t4Fenced: decided,
    },
    because: claimed.because,
    steps: [{ at: decided ?? 0, name: "claim", outcome: "succeeded", because: claimed.because }],
    status: "running",
    redundancy: 0,
  };
  keeper.incident = {
    record,
    revision: 0,
    startedAt,
    dirty: false,
    pending: 0,
    request: claimed.handover?.request ?? "",
    validating: 0,
    validateAt: turn.at,
  };
}

export function markStep(
  turn: Turn,
  keeper: KeeperDraft,
  name: string,
  outcome: "started" | "succeeded" | "failed" | "unknown",
  because = "",
): void {
  const incident = keeper.incident;
  if (incident?.record.status !== "running") return;
  patch(keeper, {
    record: withStep(incident.record, { at: turn.at - incident.startedAt, name, outcome, because }),
  });
}

export function advanceIncident(turn: Turn, keeper: KeeperDraft): void {
  const incident = keeper.incident;
  if (!incident || incident.pending !== 0) return;
  const { tenure, lease } = keeper;
  if (!tenure || lease?.record.phase !== "committed" || tenure.epoch !== incident.record.epoch) {
    if (lease && lease.record.epoch > incident.record.epoch) keeper.incident = null;
    return;
  }
  if (incident.record.status !== "running") return void (incident.dirty && write(turn, keeper));
  const { chronicle } = incident.record;
  const writable = isWritable(keeper);
  if (chronicle.t5Writable === null && writable) {
    mark(turn, keeper, { t5Writable: turn.at - incident.startedAt }, "writable");
    patch(keeper, { record: { ...keeper.incident!.record, redundancy: tenure.configured.acknowledgements } });
  }
  if (chronicle.t6Routed === null && isRouted(turn, keeper))
    mark(turn, keeper, { t6Routed: turn.at - incident.startedAt }, "route");
  const now = keeper.incident?.record.chronicle;
  if (!now || now.t5Writable === null || now.t6Routed === null || incident.validating !== 0) return;
  if (now.t7Validated === null) {
    if (turn.at < incident.validateAt) return wakeKeeperAt(keeper, incident.validateAt);
    const id = nextId(turn);
    const timeoutMs = Math.max(1000, turn.state.topology.profile.leaseMs);
    patch(keeper, { validating: id, validateAt: turn.at + timeoutMs / 2 });
    turn.commands.push({ kind: "validate", id, dataStore: keeper.dataStore.name, timeoutMs });
    return;
  }
  declare(turn, keeper);
}

export function takeValidation(turn: Turn, keeper: KeeperDraft, ok: boolean, because: string): void {
  const incident = keeper.incident;
  if (!incident) return;
  patch(keeper, { validating: 0 });
  if (ok) mark(turn, keeper, { t7Validated: turn.at - incident.startedAt }, "validate");
  else {
    markStep(turn, keeper, "validate", "failed", because);
    wakeKeeperAt(keeper, incident.validateAt);
  }
}

export function takeIncidentReply(turn: Turn, keeper: KeeperDraft, outcome: WriteOutcome): void {
  const incident = keeper.incident;
  if (!incident) return;
  patch(keeper, {
    pending: 0,
    ...(outcome.kind === "succeeded"
      ? { revision: outcome.revision }
      : { dirty: incident.revision === 0 && outcome.kind === "unknown" }),
  });
  if (outcome.kind !== "succeeded") wakeKeeperAt(keeper, turn.at + turn.state.timing.retryMs);
}

function declare(turn: Turn, keeper: KeeperDraft): void {
  const incident = keeper.incident;
  if (!incident) return;
  mark(turn, keeper, { t8Mitigated: turn.at - incident.startedAt }, "declare");
  patch(keeper, { record: { ...keeper.incident!.record, status: "declared" } });
  const { record } = keeper.incident!;
  note(
    turn,
    "info",
    record.dataStore,
    `${record.kind} declared: ${record.to} leads epoch ${record.epoch}, writable after ${Math.round(record.chronicle.t5Writable ?? 0)} ms, validated after ${Math.round(record.chronicle.t7Validated ?? 0)} ms`,
  );
  const request = turn.state.requests[incident.request];
  const { to: holder, epoch, because } = record;
  if (request) endRequest(turn, keeper, request.record, request.revision, { holder, epoch, because }, true);
  write(turn, keeper);
}

/** Writes can be acknowledged: as many standbys stream as commits wait for. */
function isWritable(keeper: KeeperDraft): boolean {
  const { tenure, local } = keeper;
  const sight = local.sight;
  if (!tenure || tenure.frozen || sight?.state !== "primary") return false;
  const waited = tenure.configured.standbys.filter((copy) =>
    sight.replicas.some((replica) => replica.member === copy.member && replica.streaming),
  );
  return waited.length >= tenure.configured.acknowledgements;
}

/** Every living region's data planes go by a table that names this epoch. */
function isRouted(turn: Turn, keeper: KeeperDraft): boolean {
  const table = turn.state.routing.signed?.table;
  const route = table?.stores[keeper.dataStore.name];
  if (!table || route?.epoch !== keeper.tenure?.epoch || route?.changing) return false;
  return turn.state.topology.regions.every((region) => {
    const applied =
      region.name === turn.state.self
        ? turn.state.routing.applied
        : (turn.state.agents[region.name]?.record.applied ?? 0);
    return !isAlive(turn, region.name) || applied >= table.generation;
  });
}

function mark(turn: Turn, keeper: KeeperDraft, marks: Partial<Chronicle>, step: string): void {
  const incident = keeper.incident;
  if (!incident) return;
  patch(keeper, { record: { ...incident.record, chronicle: { ...incident.record.chronicle, ...marks } } });
  markStep(turn, keeper, step, "succeeded");
}

function write(turn: Turn, keeper: KeeperDraft): void {
  const incident = keeper.incident;
  if (!incident) return;
  const id = nextId(turn);
  patch(keeper, { pending: id, dirty: false });
  turn.commands.push({
    kind: "write",
    id,
    key: recordKeys.incident(incident.record.id),
    expect: incident.revision,
    record: incident.record,
    timeoutMs: turn.state.timing.storeTimeoutMs,
  });
}

function patch(keeper: KeeperDraft, change: Partial<OpenIncident>): void {
  if (keeper.incident) keeper.incident = { ...keeper.incident, ...change };
}
