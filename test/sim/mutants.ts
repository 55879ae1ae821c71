/** Deliberate faults in the machine, one a row: what is changed where, and which invariants may find it out. */

export interface Mutant {
  readonly name: string;
  /** Number of the trap of DESIGN section 6 that it falls into; 0: none of the ten. */
  readonly trap: number;
  /** Below `src/core`. */
  readonly file: string;
  /** Stands exactly once in the file, or the row is stale and the test fails. */
  readonly find: string;
  readonly replace: string;
  readonly also?: readonly { readonly file: string; readonly find: string; readonly replace: string }[];
}

export const mutants: readonly Mutant[] = [
  // ------------------------------------------------------------------ the ten traps
  {
    name: "an asynchronous primary runs on alone, however far it gets ahead",
    trap: 1,
    file: "machine/redundancy.ts",
    find: `if (holdAt <= turn.at) freeze(turn, keeper, "rpo");`,
    replace: "if (holdAt <= turn.at) wakeKeeperAt(keeper, turn.at + limitMs);",
    also: [
      {
        file: "machine/guards.ts",
        find: "return (beyond?.[0] ?? tenure.trackedAt) + dataStore.rpoMs / 2;",
        replace: "return Number.POSITIVE_INFINITY;",
      },
    ],
  },
  {
    name: "the role that is believed is never compared with the real one",
    trap: 2,
    file: "machine/holder.ts",
    find: "  watchRole(turn, keeper);\n",
    replace: "",
    also: [
      {
        file: "machine/holder.ts",
        find: `if (sight.state === "primary" || keeper.local.op?.op.kind === "stop-in-order") renewIfDue(turn, keeper);`,
        replace: "renewIfDue(turn, keeper);",
      },
    ],
  },
  {
    name: "a promotion may take for ever",
    trap: 3,
    file: "machine/holder.ts",
    find: "const giveUpAt = tenure.since + withinMs;",
    replace: "const giveUpAt = tenure.since + 3_600_000;",
  },
  {
    name: "a copy is trusted by its name",
    trap: 4,
    file: "decide/proof.ts",
    find: "if (report?.incarnation !== incarnation) return;",
    replace: "if (!report || !incarnation) return;",
  },
  {
    name: "the published position may go down",
    trap: 5,
    file: "lease/lease.ts",
    find: "position > record.durable.position ? { ...record.durable, position } : record.durable",
    replace: "position !== record.durable.position ? { ...record.durable, position } : record.durable",
  },
  {
    name: "the last primary may always come back",
    trap: 6,
    file: "decide/proof.ts",
    find: "if (own.position < lease.durable.position)\n    return {",
    replace:
      "if (own.position < lease.durable.position && lease.primary?.member !== candidate)\n    return {",
    also: [
      {
        file: "decide/proof.ts",
        find: "if (report.seal.position < lease.durable.position && !isPublished(lease, member)) return;",
        replace: "",
      },
    ],
  },
  {
    name: "a claim erases the primary before",
    trap: 7,
    file: "machine/follower.ts",
    find: "    renewal: 0,\n    basis,\n",
    replace:
      "    renewal: 0,\n    basis,\n    primary: { member, incarnation: local.sight?.incarnation ?? '', epoch: decision.epoch },\n    durable: { ...lease.record.durable, acknowledgements: 0, standbys: [] },\n",
  },
  {
    name: "a write without an answer is taken for refused",
    trap: 8,
    file: "machine/lease-write.ts",
    find: "return write !== null || doubtful >= (lease?.revision ?? 0) || isNew;",
    replace: "return false;",
  },
  {
    name: "an older record overwrites a newer one",
    trap: 9,
    file: "machine/machine.ts",
    find: "if (!keeper || revision <= keeper.leaseRevision) return;",
    replace: "if (!keeper) return;",
  },
  {
    name: "a standby follows a primary that has not committed",
    trap: 10,
    file: "machine/follower.ts",
    find: `if (lease.record.phase === "committed") return followPrimary(turn, keeper, lease);`,
    replace: "return followPrimary(turn, keeper, lease);",
  },
  // ------------------------------------------------------------------ fence
  {
    name: "the lease is given up without a fence",
    trap: 0,
    file: "machine/holder.ts",
    find: "  if (!tenure.ended) {\n",
    replace: "  if (!tenure.ended && tenure.failures < 0) {\n",
  },
  {
    name: "a fence without an answer is taken for confirmed",
    trap: 0,
    file: "machine/machine.ts",
    find: `    case "end":\n      if (!ok) return;\n`,
    replace: `    case "end":\n`,
  },
  {
    name: "the fencer is petted further than the lease allows",
    trap: 0,
    file: "machine/guards.ts",
    find: "const deadline = holderDeadlines(confirmedAt(tenure), turn.state.topology.profile).stopAt;",
    replace:
      "const deadline = holderDeadlines(confirmedAt(tenure), turn.state.topology.profile).stopAt + turn.state.topology.profile.leaseMs;",
  },
  {
    name: "the gate is told to pass for longer than the lease",
    trap: 0,
    file: "machine/guards.ts",
    find: "const holdAt = Math.min(freezeAt, rpoHoldAt(keeper));",
    replace: "const holdAt = Math.min(freezeAt + turn.state.topology.profile.leaseMs, rpoHoldAt(keeper));",
    also: [
      {
        file: "machine/guards.ts",
        find: `cutAt: wanted === "closed" ? turn.at : stopAt,`,
        replace: `cutAt: wanted === "closed" ? turn.at : stopAt + turn.state.topology.profile.leaseMs,`,
      },
    ],
  },
  {
    name: "the gate holds no earlier than it cuts",
    trap: 0,
    file: "machine/guards.ts",
    find: "const holdAt = Math.min(freezeAt, rpoHoldAt(keeper));",
    replace: "const holdAt = Math.min(stopAt, rpoHoldAt(keeper));",
  },
  {
    name: "a standby's fencer is never disarmed",
    trap: 0,
    file: "machine/follower.ts",
    find: `  turn.commands.push({ kind: "disarm", member: keeper.member, epoch });\n`,
    replace: "",
  },
  {
    name: "whoever is not the holder lets its primary run",
    trap: 0,
    file: "machine/follower.ts",
    find: `if (state !== "primary" && !promoting) return false;`,
    replace: "if (!promoting) return false;",
  },
  {
    name: "writes are never thawed",
    trap: 0,
    file: "machine/holder.ts",
    find: `runOp(turn, keeper, { kind: "thaw" }, turn.state.timing.endWithinMs);`,
    replace: "",
  },
  // ------------------------------------------------------------------ lease
  {
    name: "an observer waits half a lease",
    trap: 0,
    file: "lease/lease.ts",
    find: "return seen.seenAt + profile.leaseMs * (1 + profile.maxClockDriftRatio);",
    replace: "return seen.seenAt + profile.leaseMs * 0.5;",
  },
  {
    name: "whoever has just started takes the lease for expired",
    trap: 0,
    file: "machine/machine.ts",
    find: "keeper.lease = record ? { record, revision, seenAt: turn.at } : null;",
    replace:
      "keeper.lease = record ? { record, revision, seenAt: turn.state.storeLoaded ? turn.at : turn.at - 60_000 } : null;",
  },
  {
    name: "an observer counts from when it first saw the epoch",
    trap: 0,
    file: "machine/machine.ts",
    find: "keeper.lease = record ? { record, revision, seenAt: turn.at } : null;",
    replace:
      "keeper.lease = record ? { record, revision, seenAt: before?.epoch === record.epoch ? (keeper.lease?.seenAt ?? turn.at) : turn.at } : null;",
  },
  {
    name: "the holder counts from the reply",
    trap: 0,
    file: "machine/lease-write.ts",
    find: "  confirmRenewal(keeper, write);\n  return write;",
    replace: "  confirmRenewal(keeper, { ...write, sentAt: turn.at });\n  return write;",
  },
  {
    name: "the holder stops when the lease ends, not before",
    trap: 0,
    file: "lease/lease.ts",
    find: "stopAt: sentAt + profile.stopMs",
    replace: "stopAt: sentAt + profile.leaseMs * 1.05",
  },
  {
    name: "a holder that restarts takes its lease for renewed",
    trap: 0,
    file: "machine/holder.ts",
    find: "beginTenure(keeper, record, turn.at, Number.NEGATIVE_INFINITY, configured);",
    replace: "beginTenure(keeper, record, turn.at, turn.at, configured);",
  },
  {
    name: "two tries of one renewal are one",
    trap: 0,
    file: "machine/machine.ts",
    find: "const standing = write !== null && record?.stamp === write.record.stamp;",
    replace:
      "const standing = write !== null && record?.renewal === write.record.renewal && record.epoch === write.record.epoch && record.phase === write.record.phase && record.holder === write.record.holder;",
  },
  {
    name: "one region's word is a majority",
    trap: 0,
    file: "decide/claim.ts",
    find: "if (facts.votes.size < needed)",
    replace: "if (facts.votes.size < Math.min(1, needed))",
  },
  {
    name: "a claim takes the epoch that is there",
    trap: 0,
    file: "decide/claim.ts",
    find: "epoch: highest + 1,",
    replace: "epoch: highest,",
  },
  {
    name: "a record that vanished is a data store without a past",
    trap: 0,
    file: "machine/follower.ts",
    find: "const because = whyNotFirst(turn, keeper);",
    replace: `const because = "";`,
  },
  // ------------------------------------------------------------------ peers
  {
    name: "a promise to a peer is forgotten",
    trap: 0,
    file: "machine/follower.ts",
    find: "const isPromised = turn.at < keeper.promisedUntil &&",
    replace: "const isPromised = turn.at < keeper.promisedUntil - 3_600_000 &&",
  },
  {
    name: "one promise is a majority",
    trap: 0,
    file: "machine/asking.ts",
    find: "if (heard.promised.length + 1 < majority || heard.sentAt <= confirmedAt(tenure)) return;",
    replace:
      "if (heard.promised.length + 1 < Math.min(2, majority) || heard.sentAt <= confirmedAt(tenure)) return;",
  },
  {
    name: "a promise counts from when it came",
    trap: 0,
    file: "machine/asking.ts",
    find: "patchTenure(keeper, { extendedAt: heard.sentAt });",
    replace: "patchTenure(keeper, { extendedAt: turn.at + 1500 });",
  },
  {
    name: "a renewal that nobody waited for counts from later than it was sent",
    trap: 0,
    file: "machine/lease-write.ts",
    find: "if (write) confirmRenewal(keeper, write);",
    replace: "if (write) confirmRenewal(keeper, { ...write, sentAt: write.sentAt + 2000 });",
  },
  {
    name: "whoever says that nothing is new is taken for a store that takes writes",
    trap: 0,
    file: "machine/machine.ts",
    find: "      turn.state.storeHeardAt = turn.at;\n      return wasBlind",
    replace: "      seeStore(turn);\n      return wasBlind",
  },
  {
    name: "a promise is given after the vote",
    trap: 0,
    file: "machine/asking.ts",
    find: "if (Math.max(keeper.voted, told) >= lease.revision || keeper.write)",
    replace: "if (keeper.write)",
  },
  // ------------------------------------------------------------------ proof
  {
    name: "a seal of another time counts",
    trap: 0,
    file: "decide/proof.ts",
    find: "if (report.seal?.basis !== basis) return;",
    replace: "if (!report.seal || !basis) return;",
  },
  {
    name: "a copy need not be sealed",
    trap: 0,
    file: "decide/proof.ts",
    find: "if (report.seal?.basis !== basis) return;",
    replace: "if (!basis) return;",
    also: [
      {
        file: "decide/proof.ts",
        find: "if (report.seal.position < lease.durable.position && !isPublished(lease, member)) return;",
        replace: "if (report.position < lease.durable.position && !isPublished(lease, member)) return;",
      },
      {
        file: "decide/proof.ts",
        find: "copies.push({ member, position: report.seal.position });",
        replace: "copies.push({ member, position: report.position });",
      },
    ],
  },
  {
    name: "the last position of an orderly end need not be had",
    trap: 0,
    file: "decide/proof.ts",
    find: `report.state === "standby" && report.position >= lease.durable.position;`,
    replace: `report.state === "standby";`,
    also: [
      {
        file: "decide/proof.ts",
        find: "if (own.position < lease.durable.position)\n    return {",
        replace: "if (own.position < lease.durable.position && !lease.durable.final)\n    return {",
      },
    ],
  },
  {
    name: "one copy fewer is proof enough",
    trap: 0,
    file: "decide/proof.ts",
    find: "const needed = published.length - lease.durable.acknowledgements + 1;",
    replace: "const needed = Math.max(1, published.length - lease.durable.acknowledgements);",
  },
  {
    name: "any of the sealed copies may lead, not the furthest",
    trap: 0,
    file: "decide/proof.ts",
    find: "const judged = copies.filter((copy) => copy.position <= own.position && isPublished(lease, copy.member));",
    replace: "const judged = copies.filter((copy) => isPublished(lease, copy.member));",
    also: [
      {
        file: "decide/claim.ts",
        find: "b.position - a.position ||",
        replace: "",
      },
    ],
  },
  {
    name: "every end is an orderly end",
    trap: 0,
    file: "machine/holder.ts",
    find: "durable: final === null ? record.durable : { ...record.durable, position: final, final: true },",
    replace: "durable: { ...record.durable, position: final ?? record.durable.position, final: true },",
  },
  {
    name: "the orderly end tells an older position",
    trap: 0,
    file: "machine/machine.ts",
    find: "          finalPosition: outcome.position,",
    replace: "          finalPosition: (keeper.lease?.record.durable.position ?? 0),",
  },
  {
    name: "an asynchronous copy is trusted below the published position",
    trap: 0,
    file: "decide/proof.ts",
    find: "if (own.position < lease.durable.position)\n    return {",
    replace: "if (!asynchronous && own.position < lease.durable.position)\n    return {",
  },
  {
    name: "a region that the rows may not be in may lead",
    trap: 0,
    file: "decide/claim.ts",
    find: "if (allowed.length > 0 && !allowed.includes(region.jurisdiction))",
    replace: "if (allowed.length > 9 && !allowed.includes(region.jurisdiction))",
  },
  {
    name: "a store that was restored from an older snapshot is evidence",
    trap: 0,
    file: "decide/claim.ts",
    find: "  if (lease.epoch < highest)\n",
    replace: "  if (lease.epoch < highest - 1000)\n",
  },
  {
    name: "a store that was restored within an epoch is evidence",
    trap: 0,
    file: "decide/claim.ts",
    find: "if (remembered <= published) return",
    replace: "if (remembered <= published + 1000) return",
  },
  {
    name: "an agent that is started anew takes for new what is on no copy",
    trap: 0,
    file: "machine/holder.ts",
    find: "trackedAt: turn.at - keeper.dataStore.rpoMs,",
    replace: "trackedAt: turn.at,",
  },
  // ------------------------------------------------------------------ copies
  {
    name: "copies are published before PostgreSQL waits for them",
    trap: 0,
    file: "act/quorum.ts",
    find: `return sameSet(published, weaker) ? { kind: "configure", set: wanted } : { kind: "publish", set: weaker };`,
    replace: `return sameSet(published, wanted) ? { kind: "configure", set: wanted } : { kind: "publish", set: wanted };`,
  },
  {
    name: "PostgreSQL waits for fewer before that is published",
    trap: 0,
    file: "act/quorum.ts",
    find: `return sameSet(published, weaker) ? { kind: "configure", set: wanted } : { kind: "publish", set: weaker };`,
    replace: `return { kind: "configure", set: sameSet(published, weaker) ? wanted : wanted };`,
  },
  {
    name: "a quorum is in force when it is ordered",
    trap: 0,
    file: "machine/redundancy.ts",
    find: "patchTenure(keeper, { configured: set, configuredAt: NEVER });",
    replace: "patchTenure(keeper, { configured: set });",
  },
  {
    name: "copies are published with a position from before they counted",
    trap: 0,
    file: "machine/redundancy.ts",
    find: "const position = strengthened\n    ? Math.max(record.durable.position, set.acknowledgements > 0 ? sight.inserted : sight.position)\n    : record.durable.position;",
    replace: "const position = record.durable.position;",
  },
  {
    name: "a new primary publishes copies that it does not wait for",
    trap: 0,
    file: "machine/holder.ts",
    find: "      acknowledgements: wanted,\n      standbys: wanted > 0 ? names(set.standbys) : [],",
    replace: "      acknowledgements: 0,\n      standbys: [],",
  },
  {
    name: "the position of the primary is published, not that of its copies",
    trap: 0,
    file: "machine/redundancy.ts",
    find: "  return flushed[count - 1] ?? 0;",
    replace: "  return flushed[count - 1] === undefined ? 0 : sight.position;",
  },
  {
    name: "a copy that is gone is waited for, for ever",
    trap: 0,
    file: "machine/redundancy.ts",
    find: "if (turn.at < until) {",
    replace: "if (turn.at <= Number.MAX_VALUE) {",
  },
  {
    name: "a diverged copy tries to follow, for ever",
    trap: 0,
    file: "machine/machine.ts",
    find: `if (because.includes("diverged")) patchLocal(keeper, { mustRejoin: true, retryAt: turn.at });`,
    replace: "",
    also: [
      {
        file: "machine/timing.ts",
        find: "rejoinAfterMs: Math.max(6 * leaseMs, 15_000),",
        replace: "rejoinAfterMs: 3_600_000,",
      },
    ],
  },
  // ------------------------------------------------------------------ promotion and change
  {
    name: "an epoch is committed before anybody is promoted",
    trap: 0,
    file: "machine/holder.ts",
    find: "  const { promoted } = tenure;\n",
    replace: `  const promoted = tenure.promoted ?? { position: record.durable.position, incarnation: keeper.local.sight?.incarnation ?? "", fork: undefined };\n`,
  },
  {
    name: "a gate that was left open stays open for the next epoch",
    trap: 0,
    file: "machine/holder.ts",
    find: `  orderGate(turn, keeper, "closed");\n  if (record.primary === null`,
    replace: "  if (record.primary === null",
  },
  {
    name: "the gate opens before the epoch is committed",
    trap: 0,
    file: "machine/guards.ts",
    find: `if (!tenure || tenure.over || keeper.lease?.record.phase !== "committed") return;`,
    replace: "if (!tenure || tenure.over) return;",
    also: [
      {
        file: "machine/holder.ts",
        find: "  renewIfDue(turn, keeper);\n  if (tenure.renewedAt",
        replace: "  orderGate(turn, keeper);\n  renewIfDue(turn, keeper);\n  if (tenure.renewedAt",
      },
    ],
  },
  {
    name: "an older inspection overwrites what an operation has changed",
    trap: 0,
    file: "machine/machine.ts",
    find: "if (startedAt < local.changedAt || startedAt < local.sightAt) return;",
    replace: "",
  },
  {
    name: "a freeze that fails is tried again at once",
    trap: 0,
    file: "machine/timing.ts",
    find: "guardRetryMs: 150,",
    replace: "guardRetryMs: 0,",
  },
  {
    name: "a primary that is hung is waited for, for ever",
    trap: 0,
    file: "machine/holder.ts",
    find: "    if (turn.at < until) return wakeKeeperAt(keeper, until);\n    return giveUp(",
    replace: "    if (turn.at < since + 3_600_000) return;\n    return giveUp(",
    also: [
      {
        file: "machine/holder.ts",
        find: `if (sight.state === "primary" || keeper.local.op?.op.kind === "stop-in-order") renewIfDue(turn, keeper);`,
        replace: "renewIfDue(turn, keeper);",
      },
    ],
  },
  {
    name: "a copy that was promoted itself is taken for a part of the other",
    trap: 0,
    file: "machine/follower.ts",
    find: "  if (sight.floor > claim.primaryEpoch) return null;\n",
    replace: "",
  },
  {
    name: "whoever cannot lead does not say so",
    trap: 0,
    file: "machine/follower.ts",
    find: `keeper.holding = \`\${member} is \${local.sight?.state ?? "unknown"}, and so cannot lead\`;`,
    replace: `keeper.holding = "";`,
  },
  // ------------------------------------------------------------------ routing
  {
    name: "one vantage point's word takes a region out",
    trap: 0,
    file: "judge/judge.ts",
    find: "const needed = Math.max(Math.floor(credible.length / 2) + 1, Math.min(2, vantages.length));",
    replace: "const needed = 1;",
  },
  {
    name: "an observer that is cut off accuses everybody",
    trap: 0,
    file: "judge/judge.ts",
    find: `return sights.length > 1 && sights.every((sight) => sight === "down");`,
    replace: "return sights.length < 0;",
    also: [
      {
        file: "judge/judge.ts",
        find: "const needed = Math.max(Math.floor(credible.length / 2) + 1, Math.min(2, vantages.length));",
        replace: "const needed = 1;",
      },
    ],
  },
  {
    name: "the last words of the dead are counted",
    trap: 0,
    file: "machine/routing.ts",
    find: "const fresh = seen !== undefined && seen.aliveSince < seen.seenAt && isAlive(turn, region);",
    replace: "const fresh = seen !== undefined && isAlive(turn, region);",
    also: [
      {
        file: "machine/routing.ts",
        find: "if (region === turn.state.self) return { region, fresh: true, sees: turn.state.sees };",
        replace: "",
      },
    ],
  },
  {
    name: "a request is told to be done, whoever leads",
    trap: 0,
    file: "machine/change.ts",
    find: "const reached = wanted === null ? isChange : leader?.region === wanted;",
    replace: "const reached = true;",
  },
  {
    name: "an older routing table is taken",
    trap: 0,
    file: "traffic/accept.ts",
    find: "const refusal = (current && refuseOrder(current, next)) ?? refuseContent(next);",
    replace: "const refusal = refuseContent(next);",
    also: [
      {
        file: "machine/routing.ts",
        find: "const newer = signed !== null && signed.table.generation > (routing.signed?.table.generation ?? 0);",
        replace: "const newer = signed !== null;",
      },
      { file: "machine/routing.ts", find: "  if (revision <= routing.revision) return;\n", replace: "" },
    ],
  },
  {
    name: "two routing tables bear one generation",
    trap: 0,
    file: "traffic/compile.ts",
    find: "generation: (previous?.generation ?? 0) + 1,",
    replace: "generation: previous?.generation ?? 1,",
  },
];
