/** The control store as the lab sees it: what the agents told one another, to wait for and to report. */
import { decodeRecord } from "../agent/decode.ts";
import type { AgentRecord, LeaseRecord, RequestRecord } from "../core/model/record.ts";
import { recordKeys, splitKey } from "../core/model/record.ts";
import type { SignedTable } from "../core/model/routing.ts";
import type { IncidentRecord } from "../core/review/incident.ts";
import type { Store, StoredRecord } from "../ports/store.ts";
import { monotonicMs } from "./monotonic.ts";

export interface Seen {
  readonly leases: ReadonlyMap<string, LeaseRecord>;
  readonly agents: ReadonlyMap<string, AgentRecord>;
  readonly requests: ReadonlyMap<string, RequestRecord>;
  readonly incidents: ReadonlyMap<string, IncidentRecord>;
  readonly table: SignedTable | null;
}

/** A change of the lease, as it became known here. */
export interface LeaseTurn {
  /** CLOCK_MONOTONIC, ms. */
  readonly at: number;
  readonly record: LeaseRecord;
}

export class Observer {
  readonly #store: Store;
  readonly #stopping = new AbortController();
  readonly #watching: Promise<void>;
  readonly #leases = new Map<string, LeaseRecord>();
  readonly #agents = new Map<string, AgentRecord>();
  readonly #requests = new Map<string, RequestRecord>();
  readonly #incidents = new Map<string, IncidentRecord>();
  #table: SignedTable | null = null;
  #waiting = new Set<() => void>();
  /** Changes of epoch, phase or handover: renewals are left out. */
  readonly turns: LeaseTurn[] = [];

  constructor(store: Store) {
    this.#store = store;
    this.#watching = this.#watch();
  }

  get seen(): Seen {
    return {
      leases: this.#leases,
      agents: this.#agents,
      requests: this.#requests,
      incidents: this.#incidents,
      table: this.#table,
    };
  }

  /** Resolves when `holds`; rejects with what was seen last when it does not within `timeoutMs`. */
  async until(
    what: string,
    timeoutMs: number,
    holds: (seen: Seen) => boolean,
    signal?: AbortSignal,
  ): Promise<void> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const both = signal ? AbortSignal.any([deadline, signal]) : deadline;
    while (!holds(this.seen)) {
      if (both.aborted) {
        if (signal?.aborted) throw signal.reason;
        throw new Error(`${what} did not come within ${timeoutMs / 1000} s; ${this.describe()}`);
      }
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          this.#waiting.delete(done);
          resolve();
        };
        const timer = setTimeout(done, 250);
        this.#waiting.add(done);
      });
    }
  }

  /** Asks as the API does: a record that the holder's agent takes up. */
  async submit(request: Omit<RequestRecord, "schema" | "status" | "detail">): Promise<void> {
    const record: RequestRecord = { schema: 1, ...request, status: "pending", detail: "" };
    const outcome = await this.#store.compareAndSwap(
      recordKeys.request(request.id),
      0,
      JSON.stringify(record),
      AbortSignal.timeout(5000),
    );
    if (outcome.kind !== "succeeded")
      throw new Error(`request ${request.id} could not be written: ${outcome.kind}`);
  }

  describe(): string {
    const leases = [...this.#leases].map(
      ([name, lease]) =>
        `${name}: epoch ${lease.epoch} ${lease.phase} by ${lease.holder} (${lease.because}), copies ${lease.durable.standbys.map((copy) => copy.member).join("+") || "none"}`,
    );
    const agents = [...this.#agents].map(([name, agent]) => {
      const members = Object.entries(agent.members).map(
        ([member, report]) =>
          `${member} ${report.state}${report.streaming ? " streaming" : ""} epoch ${report.epoch}`,
      );
      const holding = Object.values(agent.holding).join("; ");
      return `${name}: ${members.join(", ")}${holding ? ` [${holding}]` : ""}, table ${agent.applied}`;
    });
    return ["seen last:", ...leases, ...agents].join("\n  ");
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#watching;
    await this.#store.close();
  }

  async #watch(): Promise<void> {
    for await (const event of this.#store.watch("", 0, this.#stopping.signal)) {
      if (event.kind === "snapshot") for (const record of event.records) this.#take(record);
      if (event.kind === "changes")
        for (const change of event.changes) if (change.kind === "put") this.#take(change.record);
      for (const done of [...this.#waiting]) done();
    }
  }

  #take({ key, value }: StoredRecord): void {
    const decoded = decodeRecord(key, value);
    if (decoded.kind !== "decoded") return;
    const [room, name] = splitKey(key);
    if (room === "lease") {
      const record = decoded.record as LeaseRecord;
      const before = this.#leases.get(name);
      if (
        before?.epoch !== record.epoch ||
        before.phase !== record.phase ||
        before.handover?.to !== record.handover?.to
      )
        this.turns.push({ at: monotonicMs(), record });
      this.#leases.set(name, record);
    } else if (room === "agent") this.#agents.set(name, decoded.record as AgentRecord);
    else if (room === "request") this.#requests.set(name, decoded.record as RequestRecord);
    else if (room === "incident") this.#incidents.set(name, decoded.record as IncidentRecord);
    else if (room === "routing") this.#table = decoded.record as SignedTable;
  }
}
