/** What is seen and written of a member of the plain shape on a quiet day; a test says what is different. */
import type { MemberSight } from "../../../src/core/machine/event.ts";
import type { AgentRecord, MemberReport } from "../../../src/core/model/record.ts";
import { plainShape, topologyOf } from "../../../src/sim/shapes.ts";
import { committedLease } from "./lease.ts";

const { epoch } = committedLease;

/** A standby that streams, as its agent sees it. */
export function sightOf(incarnation: string, more: Partial<MemberSight> = {}): MemberSight {
  return {
    state: "standby",
    incarnation,
    timeline: 1,
    position: 100,
    inserted: 100,
    epoch,
    floor: epoch,
    streaming: true,
    frozen: false,
    sealedBasis: 0,
    sealedPosition: 0,
    replicas: [],
    waitsFor: null,
    problem: "",
    ...more,
  };
}

/** A primary that leads `committedLease`: both standbys stream, and one of them must acknowledge. */
export function leadingSight(more: Partial<MemberSight> = {}): MemberSight {
  const standbys = ["pg-central", "pg-east"];
  return sightOf("w#1", {
    state: "primary",
    streaming: false,
    position: 200,
    inserted: 200,
    replicas: standbys.map((member) => ({ member, streaming: true, flushed: 200 })),
    waitsFor: { acknowledgements: 1, standbys },
    ...more,
  });
}

/** The same as its agent tells it. */
export function reportOn(incarnation: string, more: Partial<MemberReport> = {}): MemberReport {
  return {
    state: "standby",
    incarnation,
    timeline: 1,
    position: 100,
    epoch,
    floor: epoch,
    seal: null,
    streaming: true,
    ...more,
  };
}

export function agentRecord(region: string, more: Partial<AgentRecord> = {}): AgentRecord {
  return {
    schema: 1,
    region,
    boot: `${region}-1`,
    beat: 40,
    expired: {},
    members: {},
    sees: {},
    applied: 1,
    topology: topologyOf(plainShape).digest,
    holding: {},
    ...more,
  };
}
