/** What a person asks for, not yet taken up. */
import type { RequestRecord } from "../../../src/core/model/record.ts";
import { storeName } from "../../../src/sim/shapes.ts";

export function requestFor(
  kind: RequestRecord["kind"],
  toRegion: string | null,
  more: Partial<RequestRecord> = {},
): RequestRecord {
  return {
    schema: 1,
    id: "r1",
    kind,
    dataStore: storeName,
    toRegion,
    ifEpoch: 0,
    by: "ann",
    why: "",
    at: 0,
    status: "pending",
    detail: "",
    ...more,
  };
}
