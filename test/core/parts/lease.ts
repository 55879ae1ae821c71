/** A lease as it stands on a quiet day: pg-west holds it in epoch 3, with two standbys of which one must acknowledge. */
import type { LeaseRecord } from "../../../src/core/model/record.ts";

export const committedLease: LeaseRecord = {
  schema: 1,
  epoch: 3,
  phase: "committed",
  holder: "pg-west",
  renewal: 7,
  stamp: "west-1/9",
  basis: 0,
  primary: { member: "pg-west", incarnation: "w#1", epoch: 3 },
  durable: {
    acknowledgements: 1,
    standbys: [
      { member: "pg-central", incarnation: "c#1" },
      { member: "pg-east", incarnation: "e#1" },
    ],
    position: 100,
    final: false,
  },
  handover: null,
  because: "test",
};
