/** The port `router` answered by our own edge. */
import type { RegionName } from "../../core/model/id.ts";
import type { Abilities, PlaneSight, TableMark } from "../../core/model/plane.ts";
import type { SignedTable } from "../../core/model/routing.ts";
import type { ApplyOutcome, Router } from "../../ports/router.ts";
import { AdminClient, type EdgeClientOptions } from "./admin-client.ts";

const yes = (how: string) => ({ can: "yes", how }) as const;

const abilities: Abilities = {
  shift: yes("new requests go by a table as soon as it is on disk"),
  restart: yes("starts into its last table with nobody to ask"),
  fence: yes("what is under way in a fenced or forbidden region is ended"),
  modes: yes("rw, ro, static, off"),
  repeat: yes("what is safe to repeat, within the retry budget"),
  breaker: yes("ejects a target after failures, probes it before it comes back"),
  hold: yes("unsafe requests wait, unsent, while a writer changes"),
  weights: yes("instances of a region share by weight, and regions where that is asked for"),
  choice: yes("by latency, by key, little by little after a return, within bulkheads and deadlines"),
  limits: yes("a request goes where its tenant, host, path or network allows, or nowhere"),
  classes: yes("sheds the lowest class first, and goes by levels"),
  stale: yes("answers from kept content when every target is bad"),
  tcp: yes("connects to the gate of the current writer"),
  gates: yes("beside each member of its region"),
};

export class EdgeRouter implements Router {
  readonly abilities = abilities;
  readonly #client: AdminClient;

  constructor(options: EdgeClientOptions) {
    this.#client = new AdminClient(options);
  }

  apply(table: SignedTable, signal: AbortSignal): Promise<ApplyOutcome> {
    return this.#offer("POST", "/v1/table", table, signal);
  }

  async current(signal: AbortSignal): Promise<SignedTable | null> {
    const { body } = await this.#client.call("GET", "/v1/table", undefined, signal);
    return body as SignedTable | null;
  }

  /** No drift: an edge does what its table says, and nobody can change one without the other. */
  async look(signal: AbortSignal): Promise<PlaneSight> {
    const { body } = await this.#client.call("GET", "/v1/state", undefined, signal);
    const { table } = body as { readonly table: TableMark | null };
    if (table === null) return { table, drift: [] };
    const { epoch, generation, digest } = table;
    return { table: { epoch, generation, digest }, drift: [] };
  }

  /** Lays a table that evacuates `region` ready on the edge's disk. It is void once the edge has a newer one. */
  prepareEvacuation(region: RegionName, table: SignedTable, signal: AbortSignal): Promise<ApplyOutcome> {
    return this.#offer("PUT", `/v1/evacuate/${encodeURIComponent(region)}`, table, signal);
  }

  /** Applies the table that lies ready: works with no agent and no store alive. */
  evacuate(region: RegionName, signal: AbortSignal): Promise<ApplyOutcome> {
    return this.#offer("POST", `/v1/evacuate/${encodeURIComponent(region)}`, undefined, signal);
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  async #offer(
    method: "POST" | "PUT",
    path: string,
    body: unknown,
    signal: AbortSignal,
  ): Promise<ApplyOutcome> {
    try {
      const answer = await this.#client.call(method, path, body, signal);
      if (isOutcome(answer.body)) return answer.body;
      return { kind: "unknown", because: `the edge answered with status ${answer.status}` };
    } catch (error) {
      return { kind: "unknown", because: (error as Error).message };
    }
  }
}

function isOutcome(body: unknown): body is ApplyOutcome {
  if (typeof body !== "object" || body === null || !("kind" in body)) return false;
  return ["applied", "unchanged", "refused", "unknown"].includes(body.kind as string);
}
