/**
 * Who acknowledged, in which epoch: never two members at a time, and no epoch back, for one client or between them.
 *
 * Of writes, all that `oracle-writers.ts` checks, in the order in which clients had their answers. Of reads as well: each
 * client by itself sees epochs rise only, and what is sent after somebody had an answer of an epoch is not answered in a
 * lower one. An answer to a read that lay in a network until after that is no harm: its reader saw what was true then.
 */
import type { RequestRecord } from "../load-record.ts";
import type { Violation } from "../oracle-evidence.ts";
import { checkWriters } from "../oracle-writers.ts";
import { type Checked, type Finding, type FindingKind, finding, found } from "./finding.ts";
import { type AcknowledgedBy, mayWrite, type Operation } from "./operation.ts";

type Acknowledged = Operation & { readonly by: AcknowledgedBy };

export function checkAcknowledgements(operations: readonly Operation[]): Checked {
  const acknowledged = operations
    .flatMap((operation): Acknowledged[] => {
      const by = operation.outcome.kind === "ok" ? operation.outcome.by : null;
      return by === null ? [] : [{ ...operation, by }];
    })
    .sort((a, b) => a.doneAt - b.doneAt);
  return found([
    ...writerFindings(acknowledged),
    ...sharedEpochs(acknowledged),
    ...perClient(acknowledged),
    ...inTotal(acknowledged),
  ]);
}

function writerFindings(acknowledged: readonly Acknowledged[]): readonly Finding[] {
  const { violations } = checkWriters(acknowledged.filter(mayWrite).map(requestOf));
  return violations.flatMap(({ kind, because }) => {
    const ours = kindOf[kind];
    return ours === undefined ? [] : [{ kind: ours, key: "", because, witness: [] }];
  });
}

const kindOf: Readonly<Partial<Record<Violation["kind"], FindingKind>>> = {
  overlap: "overlap",
  "epoch-went-down": "epoch-went-down",
};

/** An operation in the words of the load's oracle, which reads nothing of it but its times and its receipt. */
function requestOf({ number, client, sentAt, doneAt, by }: Acknowledged): RequestRecord {
  return {
    number,
    kind: "unsafe-order",
    place: `client ${client}`,
    dueAt: sentAt,
    lastTryAt: sentAt,
    doneAt,
    status: 0,
    failure: "",
    edge: "",
    region: "",
    tries: 1,
    heldMs: 0,
    receipt: { id: "", ...by, byMember: by.member, byEpoch: by.epoch, replayed: false },
  };
}

/** By reads as well as writes. */
function sharedEpochs(acknowledged: readonly Acknowledged[]): readonly Finding[] {
  return [...Map.groupBy(acknowledged, ({ by }) => by.epoch)].flatMap(([epoch, some]) => {
    const other = some.find(({ by }) => by.member !== some[0]?.by.member);
    const witness = other && some[0] ? [some[0], other] : [];
    return other ? [finding("epoch-shared", "", `epoch ${epoch} had two members`, witness)] : [];
  });
}

function perClient(acknowledged: readonly Acknowledged[]): readonly Finding[] {
  return [...Map.groupBy(acknowledged, ({ client }) => client)].flatMap(([client, some]) => {
    const findings: Finding[] = [];
    let highest: Acknowledged | null = null;
    for (const one of some) {
      if (highest !== null && one.by.epoch < highest.by.epoch)
        findings.push(
          finding("epoch-went-down", "", `client ${client} was taken back to an older epoch`, [highest, one]),
        );
      else highest = one;
    }
    return findings;
  });
}

function inTotal(acknowledged: readonly Acknowledged[]): readonly Finding[] {
  const findings: Finding[] = [];
  let highest: Acknowledged | null = null;
  let next = 0;
  for (const one of acknowledged.toSorted((a, b) => a.sentAt - b.sentAt)) {
    for (; next < acknowledged.length && (acknowledged[next] as Acknowledged).doneAt < one.sentAt; next++) {
      const done = acknowledged[next] as Acknowledged;
      if (highest === null || highest.by.epoch < done.by.epoch) highest = done;
    }
    if (highest !== null && one.by.epoch < highest.by.epoch && highest.client !== one.client)
      findings.push(
        finding("epoch-went-down", "", "sent when a higher epoch had been seen, answered in a lower", [
          highest,
          one,
        ]),
      );
  }
  return findings;
}
