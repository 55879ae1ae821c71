/** What an agent knows, as people and scripts are shown it. */
import { expiresAt } from "../core/lease/lease.ts";
import type { AgentState, Keeper } from "../core/machine/state.ts";
import type { MemberName, RegionName } from "../core/model/id.ts";
import { type Damage, type LeaseRecord, lowFreePercent, type MemberReport } from "../core/model/record.ts";
import type { DataStoreView, MemberView, RegionView, StatusView } from "../core/model/status.ts";
import type { InstantMs } from "../core/model/time.ts";
import type { DataStore, Member } from "../core/model/topology.ts";

export function viewStatus(state: AgentState, now: InstantMs): StatusView {
  const { topology, routing, self } = state;
  const dataStores = topology.dataStores.map((store) =>
    viewStore(state, state.keepers[store.name] as Keeper, now),
  );
  return {
    topology: topology.name,
    mode: topology.mode,
    profile: topology.profile.name,
    region: self,
    storeSeenMsAgo: Number.isFinite(state.storeSeenAt) ? Math.max(0, now - state.storeSeenAt) : null,
    servedBy: dataStores.map((store) => sentence(state, store)).join("; ") || "no data store is declared",
    dataStores,
    regions: topology.regions.map((region) => viewRegion(state, region.name, now)),
    services: topology.services.map((service) => {
      const route = routing.signed?.table.services[service.name];
      const level = route?.level ?? 0;
      const steps = service.levels?.steps ?? [];
      const order = state.levels[service.name]?.record.order;
      return {
        name: service.name,
        mode: route?.mode ?? "off",
        level,
        levelName: steps[level - 1]?.name ?? "",
        levels: steps.length,
        order: order?.ended === null ? order : null,
        targets: route?.targets.map((target) => target.region) ?? [],
      };
    }),
    routing: routing.signed
      ? {
          generation: routing.signed.table.generation,
          epoch: routing.signed.table.epoch,
          because: routing.signed.table.because,
        }
      : null,
    requests: Object.values(state.requests)
      .map((seen) => seen.record)
      .filter((request) => request.status === "pending" || request.status === "running"),
  };
}

function viewStore(state: AgentState, keeper: Keeper, now: InstantMs): DataStoreView {
  const { dataStore, lease, tenure } = keeper;
  const record = lease?.record;
  const regionOf = (name: MemberName) =>
    dataStore.members.find((member) => member.name === name)?.region ?? "";
  const reports = new Map<MemberName, MemberReport | undefined>(
    dataStore.members.map((member) => [
      member.name,
      state.agents[member.region]?.record.members[member.name],
    ]),
  );
  const head = Math.max(0, ...[...reports.values()].map((report) => report?.position ?? 0));
  const leads = record?.phase === "committed" ? record.holder : null;
  return {
    name: dataStore.name,
    epoch: record?.epoch ?? 0,
    phase: record?.phase ?? "none",
    primary: leads === null ? null : { member: leads, region: regionOf(leads) },
    holder: record && record.phase !== "vacant" ? record.holder : null,
    leaseLeftMs:
      lease && lease.record.phase !== "vacant"
        ? Math.max(0, expiresAt(lease, state.topology.profile) - now)
        : null,
    frozen: tenure !== null && tenure.frozen !== "",
    durable: {
      acknowledgements: record?.durable.acknowledgements ?? 0,
      standbys: record?.durable.standbys.map((copy) => copy.member) ?? [],
    },
    members: dataStore.members.map((member): MemberView => {
      const report = reports.get(member.name);
      return {
        name: member.name,
        region: member.region,
        state: report?.state ?? "unknown",
        role: report?.state === "primary" ? "primary" : report?.state === "standby" ? "standby" : "none",
        lagBytes: report ? Math.max(0, head - report.position) : null,
        position: report?.position ?? 0,
        epoch: report?.epoch ?? 0,
        streaming: report?.streaming ?? false,
        sealed: report?.seal !== null && report?.seal !== undefined,
        freePercent: report?.freePercent ?? null,
        ...diskText(report),
        ...(report?.damaged && { damaged: damageText(dataStore, member, report.damaged, record) }),
      };
    }),
    holding: keeper.holding || keeper.local.problem,
  };
}

function diskText(report: MemberReport | undefined): { readonly disk?: string } {
  const left = report?.freePercent ?? 100;
  if (report?.full) return { disk: "disk full: it takes not a page more; make room" };
  return left < lowFreePercent ? { disk: `disk nearly full: ${left} % left; make room` } : {};
}

function damageText(
  store: DataStore,
  { name, region }: Member,
  { failures, since }: Damage,
  lease: LeaseRecord | undefined,
): string {
  const what = `copy damaged: at least ${failures} checksums of pages failed on ${name} since ${new Date(since).toISOString()}`;
  if (lease?.phase === "committed" && lease.holder === name)
    return `${what}; it goes on leading, and who reads them is refused: "holdfast switchover ${store.name}" to a whole copy`;
  const isPublished = lease?.durable.standbys.some((copy) => copy.member === name);
  return `${what}; ${isPublished ? "commits wait for it, since whole copies are too few" : "no commit waits for it"}, and it does not take over: "holdfast reseed ${store.name} --region ${region}" when its disk is sound`;
}

function viewRegion(state: AgentState, name: RegionName, now: InstantMs): RegionView {
  const seen = state.agents[name];
  const beatMsAgo = name === state.self ? 0 : seen ? Math.max(0, now - seen.seenAt) : null;
  return {
    name,
    state: state.routing.signed?.table.regions[name] ?? "unknown",
    agentAlive: beatMsAgo !== null && beatMsAgo <= state.timing.silentMs,
    beatMsAgo,
    sees: name === state.self ? state.sees : (seen?.record.sees ?? {}),
  };
}

/** The first ten seconds of a responder: are customers served, by whom, and what if that region dies now? */
function sentence(state: AgentState, store: DataStoreView): string {
  if (!store.primary) {
    const why =
      store.holding || (store.phase === "claimed" ? `${store.holder} is taking over` : "nobody leads");
    return `writes to ${store.name} are NOT served: ${why}`;
  }
  const { region, member } = store.primary;
  const flow = store.frozen ? "held" : "served";
  const standbys = store.members.filter(
    (candidate) =>
      candidate.name !== member && store.durable.standbys.includes(candidate.name) && candidate.streaming,
  );
  const needed = store.durable.standbys.length - store.durable.acknowledgements + 1;
  const votes = state.topology.regions.filter(
    (candidate) =>
      candidate.name !== region && viewRegion(state, candidate.name, state.storeSeenAt).agentAlive,
  ).length;
  const quorum = Math.floor(state.topology.regions.length / 2) + 1;
  const next =
    store.durable.acknowledgements === 0
      ? "nobody can take over without a person: no standby is known to hold every acknowledged write"
      : standbys.length < needed
        ? `nobody can take over without a person: ${standbys.length} of ${store.durable.standbys.length} published standbys stream, ${needed} are needed`
        : standbys.every((standby) => standby.damaged)
          ? "nobody can take over without a person: the copies that hold every acknowledged write are damaged"
          : votes < quorum
            ? `nobody can take over: ${votes} of the other regions ${votes === 1 ? "is" : "are"} left to vote, ${quorum} are needed`
            : `${standbys.find((standby) => !standby.damaged)?.region} takes over (${standbys.map((standby) => standby.name).join(" and ")} hold every acknowledged write together)`;
  return `writes to ${store.name} are ${flow} by ${region} (${member}, epoch ${store.epoch}); if it dies now, ${next}`;
}
