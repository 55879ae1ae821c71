/** Handlers that remember what they were asked, for tests of the API and of its clients. */

import type { ApiEvent, ApiHandlers } from "../../../src/agent/api/handlers.ts";
import { problem } from "../../../src/agent/api/problem.ts";
import type { RequestRecord } from "../../../src/core/model/record.ts";
import type { RequestBody, StatusView } from "../../../src/core/model/status.ts";
import type { PeerQuestion, SealNotice } from "../../../src/ports/peers.ts";

export const statusView: StatusView = {
  topology: "shop",
  mode: "auto",
  profile: "fast",
  region: "eu-west",
  storeSeenMsAgo: 12,
  servedBy: "customers are served by eu-west",
  dataStores: [],
  regions: [],
  services: [],
  routing: null,
  requests: [],
};

export interface FakeHandlers extends ApiHandlers {
  readonly questions: PeerQuestion[];
  readonly notices: SealNotice[];
  readonly records: Map<string, RequestRecord>;
  /** Listeners to events that have not ended. */
  listening: number;
}

export function fakeHandlers(more: Partial<ApiHandlers> = {}): FakeHandlers {
  const fake: FakeHandlers = {
    questions: [],
    notices: [],
    records: new Map(),
    listening: 0,
    ready: () => ({ ready: true, because: "" }),
    status: () => statusView,
    routers: async () => ({ region: "eu-west", wanted: null, tookMs: 1, planes: [] }),
    async submit(id, body) {
      const known = fake.records.get(id);
      if (known !== undefined) return { kind: "accepted", record: known, repeated: true };
      if (body.ifEpoch === 99) {
        return { kind: "refused", problem: problem("HOLDFAST_REQUEST_CONFLICT", "the epoch is 7, not 99") };
      }
      const record = recordOf(id, body);
      fake.records.set(id, record);
      return { kind: "accepted", record, repeated: false };
    },
    degrade: async (service, { level, forMs, by, why }) => ({
      kind: "ordered",
      record: {
        schema: 1,
        service,
        order: { number: 1, level, forMs, by, why, at: 0, ended: null },
        before: [],
      },
    }),
    request: (id) => fake.records.get(id) ?? null,
    incidents: () => [
      { id: "i1", title: "eu-west is down", beganAt: "2026-11-21T00:00:00Z", status: "closed" },
    ],
    incident: async (id) => (id === "i1" ? { id } : null),
    seal: (notice) => void fake.notices.push(notice),
    async peer(question) {
      fake.questions.push(question);
      return question.epoch === 7 ? { kind: "promised" } : { kind: "refused", because: "I see the store" };
    },
    metrics: () => "# TYPE holdfast_epoch gauge\nholdfast_epoch 7\n",
    async *events(signal): AsyncGenerator<ApiEvent> {
      fake.listening += 1;
      try {
        yield { id: "1", kind: "status", data: { epoch: 7 } };
        await new Promise<void>((resolve) => {
          if (signal.aborted) resolve();
          signal.addEventListener("abort", () => resolve(), { once: true });
        });
      } finally {
        fake.listening -= 1;
      }
    },
    ...more,
  };
  return fake;
}

function recordOf(id: string, body: RequestBody): RequestRecord {
  return { schema: 1, id, ...body, at: 0, status: "pending", detail: "" };
}
