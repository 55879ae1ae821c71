/** The gate beside a member (L7): clients' only way to PostgreSQL, by orders with an epoch and by its own clock. */
import { createServer, type Server, type Socket } from "node:net";
import type { Address } from "../core/model/topology.ts";
import {
  closedGate,
  type GateCommand,
  type GateState,
  type GateVerdict,
  obey,
  seeEpoch,
  startDrain,
  verdictAt,
} from "../core/traffic/gate.ts";
import { GateSession, type SessionOwner } from "./gate-session.ts";
import { listen } from "./listen.ts";
import type { Metrics } from "./metrics.ts";
import { monotonicNow } from "./monotonic.ts";
import { reset } from "./reset.ts";

/** More than PostgreSQL's usual max_connections; beyond, a connection is refused and costs nothing. */
const sessionsMax = 5000;

export interface GateConfig {
  readonly member: string;
  /** The data store that the member belongs to: an epoch of it in a routing table closes what is below (S5). */
  readonly dataStore: string | null;
  readonly listen: Address;
  readonly target: Address;
}

export class MemberGate implements SessionOwner {
  readonly config: GateConfig;
  readonly #server: Server;
  readonly #sessions = new Set<GateSession>();
  readonly #drainWaiters = new Set<() => void>();
  readonly #metrics: Metrics;
  #state: GateState = closedGate;
  /** Cuts sessions that have nothing to write; those that have are stopped at the write itself. */
  #cutTimer: NodeJS.Timeout | null = null;

  constructor(config: GateConfig, metrics: Metrics) {
    this.config = config;
    this.#metrics = metrics;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#admit(client));
    const labels = { member: config.member };
    metrics.gauge("holdfast_edge_gate_sessions", labels, () => this.#sessions.size);
    metrics.gauge("holdfast_edge_gate_epoch", labels, () => this.#state.epoch);
  }

  get state(): GateState & {
    readonly verdict: GateVerdict;
    readonly sessions: number;
    readonly busy: number;
  } {
    return {
      ...this.#state,
      verdict: this.verdict(),
      sessions: this.#sessions.size,
      busy: this.#countBusy(),
    };
  }

  listen(): Promise<Address> {
    return listen(this.#server, this.config.listen, `the gate of ${this.config.member}`);
  }

  /** Empty when obeyed, else why it was refused. */
  order(command: GateCommand): string {
    const outcome = obey(this.#state, command);
    const labels = { member: this.config.member, outcome: outcome.kind };
    this.#metrics.count("holdfast_edge_gate_orders_total", labels);
    if (outcome.kind === "refused") return outcome.because;
    this.#state = outcome.state;
    if (outcome.cutSessions) this.#cutAll();
    this.#followState();
    return "";
  }

  seeEpoch(epoch: number): void {
    const next = seeEpoch(this.#state, epoch);
    if (next === this.#state) return;
    this.#state = next;
    this.#cutAll();
    this.#followState();
  }

  /** Resolves with the number of sessions that have something under way: 0, or what is left after `waitMs`. */
  drain(waitMs: number): Promise<number> {
    this.#state = startDrain(this.#state);
    this.#followState();
    if (this.#countBusy() === 0 || waitMs <= 0) return Promise.resolve(this.#countBusy());
    return new Promise((resolve) => {
      const settle = (): void => {
        clearTimeout(timer);
        this.#drainWaiters.delete(look);
        resolve(this.#countBusy());
      };
      const look = (): void => {
        if (this.#countBusy() === 0) settle();
      };
      const timer = setTimeout(settle, waitMs);
      this.#drainWaiters.add(look);
    });
  }

  close(): Promise<void> {
    if (this.#cutTimer) clearTimeout(this.#cutTimer);
    this.#state = { ...closedGate, epoch: this.#state.epoch };
    return new Promise((resolve) => {
      if (this.#server.listening) this.#server.close(() => resolve());
      else resolve();
      this.#cutAll();
    });
  }

  // --- what a session asks ---

  verdict(): GateVerdict {
    return verdictAt(this.#state, monotonicNow());
  }

  changed(): void {
    for (const look of this.#drainWaiters) look();
  }

  ended(session: GateSession): void {
    this.#sessions.delete(session);
    this.changed();
  }

  #admit(client: Socket): void {
    if (this.verdict() === "cut" || sessionsMax <= this.#sessions.size) {
      reset(client);
      return;
    }
    this.#sessions.add(new GateSession(client, this.config.target, this));
  }

  #countBusy(): number {
    let busy = 0;
    for (const session of this.#sessions) if (session.isBusy) busy++;
    return busy;
  }

  #cutAll(): void {
    for (const session of this.#sessions) session.destroy();
    this.changed();
  }

  #followState(): void {
    if (this.#cutTimer) clearTimeout(this.#cutTimer);
    this.#cutTimer = null;
    const verdict = this.verdict();
    if (verdict === "cut") {
      this.#cutAll();
      return;
    }
    // setTimeout takes 2^31 ms at most; an instant that never comes needs no timer.
    const inMs = this.#state.cutAt - monotonicNow();
    if (inMs < 2 ** 31) this.#cutTimer = setTimeout(() => this.#followState(), Math.max(1, Math.ceil(inMs)));
    if (verdict === "hold") return;
    for (const session of this.#sessions) session.release();
  }
}
