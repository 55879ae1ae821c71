/**
 * A planned change of primary, as its holder runs it: announce, prepare, hold, drain, stop, then the lease is left to the
 * one it is meant for. Until the stop everything is undone when something fails; after it, only forward (G3).
 */
import { nextSagaStep, type SagaEntry, type SagaStep } from "../act/saga.ts";
import { decideSwitchover } from "../decide/switchover.ts";
import type { RegionName } from "../model/id.ts";
import type { LeaseRecord, RequestRecord } from "../model/record.ts";
import { recordKeys } from "../model/record.ts";
import { orderGate } from "./guards.ts";
import { writeLease } from "./lease-write.ts";
import { reportsOf } from "./reports.ts";
import {
  isAlive,
  type KeeperDraft,
  nextId,
  note,
  patchTenure,
  runOp,
  type Turn,
  wakeKeeperAt,
} from "./turn.ts";

const steps: readonly SagaStep[] = [
  { name: "prepare", undoable: false },
  { name: "announce", undoable: true },
  { name: "hold", undoable: false },
  { name: "drain", undoable: true },
  { name: "stop", undoable: false, pointOfNoReturn: true },
];

/** WAL that a standby catches up on within a few milliseconds. */
const lagMaxBytes = 16 * 1024 * 1024;

export function advanceChange(turn: Turn, keeper: KeeperDraft, record: LeaseRecord): void {
  const { tenure } = keeper;
  if (!tenure || tenure.over || tenure.frozen === "lease") return;
  if (!tenure.change) return takeUpRequest(turn, keeper, record);

  const next = nextSagaStep(steps, tenure.change.log);
  switch (next.kind) {
    case "run":
      return runStep(turn, keeper, record, next.step);
    case "undo":
      return undoStep(turn, keeper, record, next.step);
    case "wait":
      return pollStep(turn, keeper, record, next.step, next.undoing);
    case "finished": {
      if (next.outcome === "succeeded") return;
      const request = turn.state.requests[tenure.change.request];
      if (request)
        writeRequest(
          turn,
          request.record,
          request.revision,
          next.outcome === "undone" ? "failed" : "unknown",
          next.outcome === "undone" ? `${next.because}; everything is as before` : next.because,
        );
      note(turn, "warning", keeper.dataStore.name, `planned change given up: ${next.because}`);
      patchTenure(keeper, { change: null });
      return;
    }
    default:
      return next satisfies never;
  }
}

function takeUpRequest(turn: Turn, keeper: KeeperDraft, record: LeaseRecord): void {
  const sight = keeper.local.sight;
  if (sight?.state !== "primary" || keeper.write || keeper.local.op) return;
  for (const { record: request, revision } of Object.values(turn.state.requests)) {
    if (request.dataStore !== keeper.dataStore.name) continue;
    if (request.kind !== "switchover" && request.kind !== "failback") continue;
    if (request.status === "running" && record.handover?.request === request.id)
      // The agent before us was ended in the middle: nothing is undone that may have happened, it begins anew.
      return beginChange(turn, keeper, request.id, record.handover.to);
    if (request.status === "running") {
      settle(turn, keeper, request, revision, record);
      continue;
    }
    if (request.status !== "pending") continue;
    const preferred = wantedRegion(keeper, request);
    const decision = decideSwitchover({
      request: { ...request, toRegion: preferred },
      lease: record,
      dataStore: keeper.dataStore,
      regions: turn.state.topology.regions,
      reports: reportsOf(turn, keeper),
      position: sight.position,
      lagMaxBytes,
    });
    if (decision.kind === "refuse") {
      writeRequest(turn, request, revision, "refused", decision.because);
      continue;
    }
    writeRequest(turn, request, revision, "running", decision.because);
    note(turn, "info", keeper.dataStore.name, `handing over to ${decision.to}: ${decision.because}`);
    return beginChange(turn, keeper, request.id, decision.to);
  }
}

/** A change that others went on with, or nobody: whoever leads now says what became of it, so that no one waits for ever. */
function settle(
  turn: Turn,
  keeper: KeeperDraft,
  request: RequestRecord,
  revision: number,
  record: LeaseRecord,
): void {
  // Our own, on its way to be declared.
  if (keeper.incident?.request === request.id) return;
  endRequest(turn, keeper, request, revision, record, false);
}

/**
 * Whether who leads now is whom the request was for. `because`: why that one leads. `isChange`: it did not lead before, which
 * is all that a request says that names nobody.
 */
export function endRequest(
  turn: Turn,
  keeper: KeeperDraft,
  request: RequestRecord,
  revision: number,
  { holder, epoch, because }: Pick<LeaseRecord, "holder" | "epoch" | "because">,
  isChange: boolean,
): void {
  const wanted = wantedRegion(keeper, request);
  const leader = keeper.dataStore.members.find((member) => member.name === holder);
  const reached = wanted === null ? isChange : leader?.region === wanted;
  const leads = `${holder} leads epoch ${epoch}`;
  const detail = reached ? leads : `${leads}, and not ${wanted ?? "another"}: ${because}`;
  writeRequest(turn, request, revision, reached ? "succeeded" : "failed", detail);
}

/** Null: whichever is best. */
function wantedRegion(keeper: KeeperDraft, { kind, toRegion }: RequestRecord): RegionName | null {
  if (kind !== "failback" || toRegion) return toRegion;
  return keeper.dataStore.members.find((member) => member.promotable)?.region ?? null;
}

function beginChange(turn: Turn, keeper: KeeperDraft, request: string, to: string): void {
  patchTenure(keeper, { change: { request, to, log: [], holdGeneration: 0 } });
  wakeKeeperAt(keeper, turn.at);
}

function runStep(turn: Turn, keeper: KeeperDraft, record: LeaseRecord, step: string): void {
  const change = keeper.tenure?.change;
  if (!change || keeper.local.guard) return;
  const { timing } = turn.state;
  switch (step) {
    case "prepare":
      if (keeper.local.op) return;
      logStep(turn, keeper, step, "started");
      return runOp(turn, keeper, { kind: "prepare-stop" }, 30_000);
    case "announce":
      if (keeper.write) return;
      logStep(turn, keeper, step, "started");
      return writeLease(turn, keeper, "announce", {
        ...record,
        renewal: record.renewal + 1,
        handover: { to: change.to, request: change.request },
      });
    case "hold":
      logStep(turn, keeper, step, "started");
      return wakeKeeperAt(keeper, turn.at);
    case "drain":
      if (keeper.local.op) return;
      logStep(turn, keeper, step, "started");
      return runOp(turn, keeper, { kind: "drain" }, timing.drainWithinMs);
    case "stop":
      if (keeper.local.op) return;
      logStep(turn, keeper, step, "started");
      orderGate(turn, keeper, "closed");
      return runOp(turn, keeper, { kind: "stop-in-order" }, timing.stopWithinMs);
  }
}

/** Steps that end by what is seen rather than by a reply. */
function pollStep(
  turn: Turn,
  keeper: KeeperDraft,
  record: LeaseRecord,
  step: string,
  undoing: boolean,
): void {
  const change = keeper.tenure?.change;
  if (!change || undoing || step !== "hold") return;
  const startedAt = change.log.findLast((entry) => entry.step === step)?.at ?? turn.at;
  const table = turn.state.routing.signed?.table;
  const announced = table?.stores[keeper.dataStore.name];
  const holds =
    announced?.changing === true &&
    announced.epoch === record.epoch &&
    turn.state.topology.regions.every((region) => {
      if (region.name === turn.state.self) return turn.state.routing.applied >= (table?.generation ?? 0);
      return (
        !isAlive(turn, region.name) ||
        (turn.state.agents[region.name]?.record.applied ?? 0) >= (table?.generation ?? 0)
      );
    });
  const until = startedAt + turn.state.timing.holdWithinMs;
  // An edge that does not answer in time costs at most an unrepeatable request of its own, not the change.
  if (!holds && turn.at < until) return wakeKeeperAt(keeper, until);
  logStep(turn, keeper, "hold", "succeeded", holds ? "all edges hold" : "not all edges answered in time");
  wakeKeeperAt(keeper, turn.at);
}

function undoStep(turn: Turn, keeper: KeeperDraft, record: LeaseRecord, step: string): void {
  switch (step) {
    case "drain":
      logStep(turn, keeper, step, "undo-started");
      orderGate(turn, keeper, "open");
      logStep(turn, keeper, step, "undo-succeeded");
      return wakeKeeperAt(keeper, turn.at);
    case "announce":
      if (keeper.write) return;
      logStep(turn, keeper, step, "undo-started");
      return writeLease(turn, keeper, "announce", { ...record, renewal: record.renewal + 1, handover: null });
  }
}

/** What a reply of an operation or a write means for the plan. */
export function takeStepReply(
  turn: Turn,
  keeper: KeeperDraft,
  step: "prepare" | "announce" | "drain" | "stop",
  event: "succeeded" | "failed" | "unknown",
  because: string,
): void {
  const last = keeper.tenure?.change?.log.findLast((entry) => entry.step === step);
  if (last?.event === "started") {
    // A drain that some session did not end in time goes on: the session is cut with the stop, its outcome unknown to it.
    logStep(turn, keeper, step, step === "drain" && event !== "succeeded" ? "succeeded" : event, because);
    if (step === "stop" && event === "succeeded") tellSteps(turn, keeper);
  } else if (last?.event === "undo-started")
    logStep(turn, keeper, step, event === "succeeded" ? "undo-succeeded" : "undo-failed", because);
  wakeKeeperAt(keeper, turn.at);
}

/** Where the time went, for whoever asks why writes stood still. */
function tellSteps(turn: Turn, keeper: KeeperDraft): void {
  const log = keeper.tenure?.change?.log ?? [];
  const took = log.flatMap(({ step, event, at, because }) => {
    const begun = log.findLast((entry) => entry.step === step && entry.event === "started");
    if (event !== "succeeded" || !begun) return [];
    return [`${step} ${Math.round(at - begun.at)} ms${because && ` (${because})`}`];
  });
  note(turn, "info", keeper.dataStore.name, `${keeper.member} has stopped: ${took.join(", ")}`);
}

function logStep(
  turn: Turn,
  keeper: KeeperDraft,
  step: string,
  event: SagaEntry["event"],
  because = "",
): void {
  const change = keeper.tenure?.change;
  if (!change) return;
  patchTenure(keeper, { change: { ...change, log: [...change.log, { step, at: turn.at, event, because }] } });
}

export function writeRequest(
  turn: Turn,
  request: RequestRecord,
  revision: number,
  status: RequestRecord["status"],
  detail: string,
): void {
  const record = { ...request, status, detail };
  turn.commands.push({
    kind: "write",
    id: nextId(turn),
    key: recordKeys.request(request.id),
    expect: revision,
    record,
    timeoutMs: turn.state.timing.storeTimeoutMs,
  });
  // Believed at once, so that one request is taken up once; what the store says comes as a change and corrects it.
  turn.state.requests = { ...turn.state.requests, [request.id]: { record, revision } };
}
