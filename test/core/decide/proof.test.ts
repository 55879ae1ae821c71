/** Which copies are known to hold every acknowledged write. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { prove, trustedCopies } from "../../../src/core/decide/proof.ts";
import type { LeaseRecord, MemberReport } from "../../../src/core/model/record.ts";

const names = ["a", "b", "c", "d", "e"];

function lease(more: Partial<LeaseRecord["durable"]>, primary = "p"): LeaseRecord {
  return {
    schema: 1,
    epoch: 3,
    phase: "committed",
    holder: primary,
    renewal: 7,
    stamp: "p-1/1",
    basis: 0,
    primary: { member: primary, incarnation: `${primary}#1`, epoch: 3 },
    durable: { acknowledgements: 1, standbys: [], position: 0, final: false, ...more },
    handover: null,
    because: "test",
  };
}

function report(position: number, more: Partial<MemberReport> = {}): MemberReport {
  return {
    state: "standby",
    incarnation: null,
    timeline: 1,
    position,
    epoch: 0,
    floor: 0,
    seal: { basis: 40, position },
    streaming: false,
    ...more,
  };
}

const copy = (member: string, life = 1) => ({ member, incarnation: `${member}#${life}` });

test("D1 to D3, against the truth: whoever is proven holds every acknowledged write", () => {
  // Writes are acknowledged one after the other, each on enough of the standbys; each standby holds a prefix of the WAL.
  const world = fc
    .record({
      count: fc.integer({ min: 1, max: 5 }),
      acknowledgements: fc.integer({ min: 1, max: 5 }),
      flushed: fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 5, maxLength: 5 }),
      sealed: fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }),
      rebuilt: fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 5, maxLength: 5 }),
      lag: fc.integer({ min: 0, max: 10 }),
    })
    .filter(({ count, acknowledgements }) => acknowledgements <= count);
  let proofs = 0;
  fc.assert(
    fc.property(world, ({ count, acknowledgements, flushed, sealed, rebuilt, lag }) => {
      const members = names.slice(0, count);
      const positions = members.map((_, index) => flushed[index] as number);
      // What was acknowledged: everything that enough of them have.
      const acknowledged = [...positions].sort((x, y) => y - x)[acknowledgements - 1] as number;
      const record = lease({
        acknowledgements,
        standbys: members.map((member) => copy(member)),
        position: Math.max(0, acknowledged - lag),
      });
      const reports = new Map(
        members.map((member, index) => {
          // One in six was wiped since and rebuilt from something old: it bears the name, and another incarnation.
          const wiped = rebuilt[index] === 0;
          const position = wiped ? 0 : (positions[index] as number);
          return [
            member,
            report(position, {
              incarnation: wiped ? `${member}#2` : `${member}#1`,
              seal: sealed[index] ? { basis: 40, position } : null,
            }),
          ];
        }),
      );
      const copies = trustedCopies(record, 40, reports);
      members.forEach((member) => {
        if (prove(record, copies, member).kind !== "proven") return;
        proofs++;
        const held = reports.get(member)?.position ?? 0;
        assert.ok(held >= acknowledged, `${member} at ${held} misses ${acknowledged}`);
      });
    }),
    { numRuns: 20_000 },
  );
  assert.ok(proofs > 500, `only ${proofs} proofs: the property proved little`);
});

test("D2: the last primary's own copy is proof enough, at or above the published position, and of its own incarnation", () => {
  const record = lease({ standbys: [copy("a")], position: 100 });
  const at = (position: number, incarnation = "p#1") =>
    prove(record, trustedCopies(record, 40, new Map([["p", report(position, { incarnation })]])), "p").kind;
  assert.equal(at(100), "proven");
  assert.equal(at(5000), "proven");
  assert.equal(at(99), "unproven");
  assert.equal(at(5000, "p#2"), "unproven");
});

test("D3: a seal counts only against the basis that it was made for", () => {
  const record = lease({ standbys: [copy("a")], position: 10 });
  const sealedAgainst = (basis: number) =>
    trustedCopies(
      record,
      40,
      new Map([["a", report(20, { incarnation: "a#1", seal: { basis, position: 20 } })]]),
    ).length;
  assert.equal(sealedAgainst(40), 1);
  assert.equal(sealedAgainst(39), 0);
  assert.equal(sealedAgainst(41), 0);
});

test("D4: after an orderly end one copy that has the last position is proof, and one byte less is none", () => {
  const record = lease({
    acknowledgements: 2,
    standbys: [copy("a"), copy("b"), copy("c")],
    position: 100,
    final: true,
  });
  const at = (position: number) =>
    prove(record, trustedCopies(record, 40, new Map([["a", report(position, { incarnation: "a#1" })]])), "a")
      .kind;
  assert.equal(at(100), "proven");
  assert.equal(at(99), "unproven");
});

test("D4: after an orderly end a running copy needs no seal to count, and only with the last position and its own life", () => {
  const orderly = lease({ standbys: [copy("a")], position: 100, final: true });
  const unsealed = (more: Partial<MemberReport>, position = 100) =>
    trustedCopies(
      orderly,
      40,
      new Map([["a", report(position, { incarnation: "a#1", seal: null, ...more })]]),
    );
  assert.deepEqual(unsealed({}), [{ member: "a", position: 100 }]);
  assert.deepEqual(unsealed({}, 99), []);
  assert.deepEqual(unsealed({ state: "stopped" }), []);
  assert.deepEqual(unsealed({ incarnation: "a#2" }), []);
  const running = { ...orderly, durable: { ...orderly.durable, final: false } };
  assert.deepEqual(
    trustedCopies(running, 40, new Map([["a", report(100, { incarnation: "a#1", seal: null })]])),
    [],
  );
});

test("D5: asynchronous, a published copy at or above the published position, and no other", () => {
  const record = lease({ acknowledgements: 0, standbys: [copy("a")], position: 100 });
  const at = (member: string, position: number) =>
    prove(
      record,
      trustedCopies(record, 40, new Map([[member, report(position, { incarnation: `${member}#1` })]])),
      member,
      true,
    ).kind;
  assert.equal(at("a", 100), "proven");
  assert.equal(at("a", 99), "unproven");
  assert.equal(at("b", 500), "unproven");
});

test("a copy that is further and cannot act does not stand in the way when it is not needed", () => {
  const standbys = [copy("a"), copy("b"), copy("c")];
  const record = lease({ acknowledgements: 2, standbys, position: 0 });
  const reports = new Map([
    ["a", report(10, { incarnation: "a#1" })],
    ["b", report(20, { incarnation: "b#1" })],
    ["c", report(90, { incarnation: "c#1" })],
  ]);
  const copies = trustedCopies(record, 40, reports);
  assert.deepEqual(
    ["a", "b", "c"].map((member) => prove(record, copies, member).kind),
    ["unproven", "proven", "proven"],
  );
});
