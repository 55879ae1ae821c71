/** The port `gate` answered by the edge process beside a member. */
import type { MemberName } from "../../core/model/id.ts";
import type { InstantMs, SpanMs } from "../../core/model/time.ts";
import type { Gate, GateOrder } from "../../ports/router.ts";
import { AdminClient, type EdgeClientOptions, EdgeError } from "./admin-client.ts";

/** Loopback and no disk: an edge that takes longer is stopped, and its gate goes by its own clock (L7). */
const orderTimeoutMs: SpanMs = 500;
/** A drain is asked for in pieces, so that the last number is known when the caller gives up. */
const drainPieceMs: SpanMs = 100;

export class EdgeGate implements Gate {
  readonly #client: AdminClient;

  constructor(options: EdgeClientOptions) {
    this.#client = new AdminClient(options);
  }

  /** Rejects with `EdgeError` when the edge did not answer: the order may have been obeyed, and may be repeated. */
  async order(order: GateOrder): Promise<boolean> {
    const wire = { ...order, holdAt: instant(order.holdAt), cutAt: instant(order.cutAt) };
    const { status, body } = await this.#client.call(
      "POST",
      "/v1/gate",
      wire,
      AbortSignal.timeout(orderTimeoutMs),
    );
    if (status === 200) return true;
    if (status === 409) return false;
    throw unexpected("order", status, body);
  }

  /**
   * Holds an open gate and lets sessions that have something under way finish, as far as `holdAt` lets them. The gate stays
   * held afterwards, whatever the outcome, until it is ordered `open` or `closed`; orders `hold` do not end a drain.
   */
  async drain(member: MemberName, signal: AbortSignal): Promise<number> {
    let open = Number.POSITIVE_INFINITY;
    while (open > 0 && !signal.aborted) {
      const piece = AbortSignal.timeout(drainPieceMs + orderTimeoutMs);
      const answer = await this.#client.call(
        "POST",
        "/v1/gate/drain",
        { member, waitMs: drainPieceMs },
        piece,
      );
      if (answer.status !== 200) throw unexpected("drain", answer.status, answer.body);
      open = (answer.body as { readonly open: number }).open;
    }
    return open;
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}

/** JSON has no infinity: null stands for the instant that never comes. */
function instant(at: InstantMs): number | null {
  return at === Number.POSITIVE_INFINITY ? null : at;
}

function unexpected(what: string, status: number, body: unknown): EdgeError {
  const message = `the edge answered a ${what} with status ${status}: ${JSON.stringify(body)}`;
  return new EdgeError("HOLDFAST_EDGE_ANSWER", message);
}
