/** A copy whose pages fail their checksum: nobody waits for it, it does not lead, and is made anew when a person asks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "../../../src/core/machine/command.ts";
import type { AgentEventBody } from "../../../src/core/machine/event.ts";
import {
  type AgentRecord,
  type LeaseRecord,
  type MemberReport,
  type RequestRecord,
  recordKeys,
} from "../../../src/core/model/record.ts";
import { plainShape, storeName } from "../../../src/sim/shapes.ts";
import { startAgent, type ToldAgent } from "../parts/agent.ts";
import { committedLease } from "../parts/lease.ts";
import { agentRecord, reportOn, sightOf } from "../parts/member.ts";
import { requestFor } from "../parts/request.ts";

const damaged = { failures: 2, since: 0 };
const leaseKey = recordKeys.lease(storeName);

const wish = requestFor("reseed", "central");

/** An agent whose writes all stand, and what it ordered so far. */
function startWriter(
  self: string,
  lease: LeaseRecord = committedLease,
  shape = plainShape,
): {
  readonly agent: ToldAgent;
  readonly said: Command[];
  tell(body: AgentEventBody): void;
} {
  const agent = startAgent(self, shape);
  const said: Command[] = [];
  let revision = 100;
  const tell = (body: AgentEventBody): void => {
    for (const command of agent.tell(body)) {
      said.push(command);
      if (command.kind === "write")
        tell({ kind: "write-replied", id: command.id, outcome: { kind: "succeeded", revision: ++revision } });
      if (command.kind === "member" && command.op.kind === "set-quorum")
        tell({
          kind: "member-replied",
          member: command.member,
          id: command.id,
          outcome: { kind: "succeeded", op: "set-quorum" },
        });
    }
  };
  tell({ kind: "record-changed", key: leaseKey, revision: 9, record: lease });
  return { agent, said, tell };
}

/** What the primary's agent publishes last, told so of its two standbys. */
function publishedWith(
  central: Partial<MemberReport>,
  east: Partial<MemberReport>,
  shape = plainShape,
  wishes: readonly RequestRecord[] = [],
): LeaseRecord["durable"] {
  const { agent, said, tell } = startWriter("west", committedLease, shape);
  for (const record of wishes)
    tell({ kind: "record-changed", key: recordKeys.request(record.id), revision: 7, record });
  for (const [region, report] of [
    ["central", reportOn("c#1", central)],
    ["east", reportOn("e#1", east)],
  ] as const) {
    const record = agentRecord(region, { members: { [`pg-${region}`]: report } });
    tell({ kind: "record-changed", key: recordKeys.agent(region), revision: 8, record });
  }
  tell({ kind: "store-loaded" });
  const replicas = ["pg-central", "pg-east"].map((member) => ({ member, streaming: true, flushed: 100 }));
  const sight = sightOf("w#1", { state: "primary", streaming: false, replicas });
  const quorum = () =>
    said.findLast((command) => command.kind === "member" && command.op.kind === "set-quorum");
  for (let look = 0; look < 20; look++) {
    const order = quorum();
    const waitsFor =
      order?.kind === "member" && order.op.kind === "set-quorum"
        ? { acknowledgements: order.op.acknowledgements, standbys: order.op.standbys }
        : { acknowledgements: 1, standbys: ["pg-central", "pg-east"] };
    tell({
      kind: "member-inspected",
      member: "pg-west",
      startedAt: agent.at + 5,
      seen: { ...sight, waitsFor },
    });
  }
  const written = said.flatMap((command) =>
    command.kind === "write" && command.key === leaseKey ? (command.record as LeaseRecord) : [],
  );
  return (written.at(-1) ?? committedLease).durable;
}

const names = ({ standbys }: LeaseRecord["durable"]) => standbys.map((copy) => copy.member);

test("a damaged copy is waited for and published no more, though it streams", () => {
  assert.deepEqual(names(publishedWith({}, {})), ["pg-central", "pg-east"]);
  const durable = publishedWith({ damaged }, {});
  assert.deepEqual(names(durable), ["pg-east"]);
  assert.equal(durable.acknowledgements, 1);
});

test("where whole copies are too few, a damaged one stays: what was acknowledged is on two disks", () => {
  const all = publishedWith({ damaged }, { damaged });
  assert.deepEqual([all.acknowledgements, names(all)], [1, ["pg-central", "pg-east"]]);
  const two = publishedWith({ damaged }, {}, { ...plainShape, acknowledgements: 2 });
  assert.deepEqual([two.acknowledgements, names(two)], [2, ["pg-east", "pg-central"]]);
});

test("the last copy is left out too once it is to be made anew (D1), and no other for it", () => {
  const durable = publishedWith({ damaged }, { damaged }, plainShape, [wish]);
  assert.deepEqual(names(durable), ["pg-east"]);
  assert.deepEqual(names(publishedWith({}, {}, plainShape, [wish])), ["pg-central", "pg-east"]);
  const answered = { ...wish, status: "failed" } as const;
  assert.deepEqual(names(publishedWith({ damaged }, { damaged }, plainShape, [answered])), [
    "pg-central",
    "pg-east",
  ]);
});

test("asynchronous: the RPO is kept against whole copies, and against damaged ones where there is no other", () => {
  const shape = { ...plainShape, replication: "asynchronous", acknowledgements: 0, rpoMs: 1000 } as const;
  assert.deepEqual(names(publishedWith({ damaged }, {}, shape)), ["pg-east"]);
  assert.deepEqual(names(publishedWith({ damaged }, { damaged }, shape)), ["pg-central", "pg-east"]);
  // Writes would be held until it is back.
  assert.deepEqual(names(publishedWith({ damaged }, { epoch: 2 }, shape)), ["pg-east", "pg-central"]);
});

/** Whom pg-central waits for once it leads, after pg-west has ended in order; each of both as a whole or a damaged copy. */
function companionsWith(
  west: Partial<MemberReport>,
  east: Partial<MemberReport>,
): readonly string[] | undefined {
  const durable = { ...committedLease.durable, final: true };
  const { agent, said, tell } = startWriter("central", { ...committedLease, phase: "vacant", durable });
  for (const [region, report] of [
    ["west", reportOn("w#1", { state: "stopped", streaming: false, ...west })],
    ["east", reportOn("e#1", east)],
  ] as const) {
    const record = agentRecord(region, { members: { [`pg-${region}`]: report } });
    tell({ kind: "record-changed", key: recordKeys.agent(region), revision: 8, record });
  }
  tell({ kind: "store-loaded" });
  for (let look = 0; look < 2; look++)
    tell({
      kind: "member-inspected",
      member: "pg-central",
      startedAt: agent.at,
      seen: sightOf("c#1"),
    });
  const promote = said.find((command) => command.kind === "member" && command.op.kind === "promote");
  return promote?.kind === "member" && promote.op.kind === "promote" ? promote.op.standbys : undefined;
}

test("a new primary waits for a damaged copy only where there is no other", () => {
  assert.deepEqual(companionsWith({}, {}), ["pg-east", "pg-west"]);
  assert.deepEqual(companionsWith({}, { damaged }), ["pg-west"]);
  assert.deepEqual(companionsWith({ damaged }, {}), ["pg-east"]);
  assert.deepEqual(companionsWith({ damaged }, { damaged }), ["pg-east", "pg-west"]);
});

const withoutCentral: LeaseRecord = {
  ...committedLease,
  durable: {
    ...committedLease.durable,
    standbys: committedLease.durable.standbys.filter(({ member }) => member !== "pg-central"),
  },
};

/** pg-central's agent, with its own copy so, and a request. */
function asked(
  own: { damaged?: typeof damaged },
  request: Partial<RequestRecord> = {},
  lease: LeaseRecord = withoutCentral,
) {
  const writer = startWriter("central", lease);
  const { agent, said, tell } = writer;
  const west = reportOn("w#1", { state: "primary" });
  const record = agentRecord("west", { members: { "pg-west": west } });
  tell({ kind: "record-changed", key: recordKeys.agent("west"), revision: 8, record });
  tell({ kind: "store-loaded" });
  const look = () =>
    tell({ kind: "member-inspected", member: "pg-central", startedAt: agent.at, seen: sightOf("c#1", own) });
  look();
  const key = recordKeys.request(wish.id);
  tell({ kind: "record-changed", key, revision: 50, record: { ...wish, ...request } });
  look();
  const rejoins = said.filter((command) => command.kind === "member" && command.op.kind === "rejoin");
  const answers = () =>
    said.flatMap((command) =>
      command.kind === "write" && command.key === key ? (command.record as RequestRecord) : [],
    );
  return { ...writer, look, rejoins, answers };
}

test("its agent makes it anew once, and answers when that is done", () => {
  const { rejoins, answers, tell } = asked({ damaged });
  assert.equal(rejoins.length, 1);
  const [rejoin] = rejoins;
  assert.ok(rejoin?.kind === "member" && rejoin.op.kind === "rejoin");
  assert.equal(rejoin.op.reseed, "r1");
  assert.equal(rejoin.op.upstream.member, "pg-west");
  assert.deepEqual(answers(), []);
  tell({
    kind: "member-replied",
    member: "pg-central",
    id: rejoin.id,
    outcome: { kind: "succeeded", op: "rejoin", incarnation: "c#2" },
  });
  assert.deepEqual(
    answers().map(({ status }) => status),
    ["succeeded"],
  );
});

test("while it is published it waits until the primary has left it out (D1)", () => {
  const { said, tell, look, rejoins, answers } = asked({ damaged }, {}, committedLease);
  assert.deepEqual([rejoins.length, answers().length], [0, 0]);
  tell({ kind: "record-changed", key: leaseKey, revision: 60, record: { ...withoutCentral, renewal: 8 } });
  look();
  assert.ok(said.some((command) => command.kind === "member" && command.op.kind === "rejoin"));
});

test("that it failed is answered as well, and it is not tried again", () => {
  const { rejoins, answers, tell, look, said } = asked({ damaged });
  const [rejoin] = rejoins;
  assert.ok(rejoin?.kind === "member");
  const outcome = { kind: "failed", op: "rejoin", because: "no room" } as const;
  tell({ kind: "member-replied", member: "pg-central", id: rejoin.id, outcome });
  for (let round = 0; round < 100; round++) look();
  assert.deepEqual(
    answers().map(({ status, detail }) => [status, detail]),
    [["failed", "no room"]],
  );
  assert.equal(said.filter((command) => command.kind === "member" && command.op.kind === "rejoin").length, 1);
});

test("what is asked of another region is not its own to answer, and an undamaged copy is kept", () => {
  const another = asked({ damaged }, { toRegion: "east" });
  assert.deepEqual([another.rejoins.length, another.answers().length], [0, 0]);
  const whole = asked({});
  assert.equal(whole.rejoins.length, 0);
  assert.deepEqual(
    whole.answers().map(({ status }) => status),
    ["refused"],
  );
});

test("the others are told of it", () => {
  const { said } = asked({ damaged });
  const told = said.findLast(
    (command) => command.kind === "write" && command.key === recordKeys.agent("central"),
  );
  const record = told?.kind === "write" ? (told.record as AgentRecord) : undefined;
  assert.deepEqual(record?.members["pg-central"]?.damaged, damaged);
});

test("people are told once, also after a restart of the agent", () => {
  const { said, look } = asked({ damaged });
  look();
  const alarms = said.filter((command) => command.kind === "note" && command.level === "alarm");
  assert.equal(alarms.length, 1);
  assert.match(alarms[0]?.kind === "note" ? alarms[0].text : "", /the copy of pg-central is damaged/);
});

test("the primary's agent answers for its own region and for those without a copy, and for no other", () => {
  const { agent, said, tell } = startWriter("west");
  const quiet = { acknowledgements: 1, standbys: ["pg-central", "pg-east"] };
  const seen = sightOf("w#1", { state: "primary", streaming: false, waitsFor: quiet, damaged });
  tell({ kind: "store-loaded" });
  for (const [index, toRegion] of ["west", "north", "central"].entries()) {
    const record = { ...wish, id: toRegion, toRegion };
    tell({ kind: "record-changed", key: recordKeys.request(toRegion), revision: 50 + index, record });
  }
  tell({ kind: "member-inspected", member: "pg-west", startedAt: agent.at, seen });
  const answers = said.flatMap((command) => {
    const record = command.kind === "write" ? (command.record as RequestRecord) : null;
    return record?.kind === "reseed" ? [[record.id, record.status]] : [];
  });
  assert.deepEqual(answers, [
    ["west", "refused"],
    ["north", "refused"],
  ]);
});
