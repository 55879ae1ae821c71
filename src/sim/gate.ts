/** The gate beside a member: the core's own rules (`traffic/gate.ts`), with sessions and replies that wait behind them. */
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
import type { Host } from "./host.ts";
import { type Kernel, millis } from "./kernel.ts";
import { Process } from "./process.ts";

export class Gate {
  readonly process = new Process();
  /** Rises whenever all sessions are cut: a session of an older number is dead. */
  sessions = 0;
  state: GateState = closedGate;
  /** Ablation: it does as it is told, and has no clock of its own. */
  readonly disabled: boolean;
  readonly #kernel: Kernel;
  readonly #host: Host;
  #held: { readonly session: number; readonly pass: () => void }[] = [];
  #polling = false;

  constructor(kernel: Kernel, host: Host, disabled: boolean) {
    this.#kernel = kernel;
    this.#host = host;
    this.disabled = disabled;
  }

  start(): void {
    this.process.start();
    this.state = closedGate;
    this.#cut();
  }

  kill(): void {
    this.process.kill();
    this.#polling = false;
    this.#cut();
  }

  verdict(): GateVerdict {
    if (this.disabled)
      return this.state.mode === "open" ? "pass" : this.state.mode === "closed" ? "cut" : "hold";
    return verdictAt(this.state, this.#host.monotonicMs());
  }

  order(command: GateCommand): void {
    const outcome = obey(this.state, command);
    if (outcome.kind === "refused") {
      this.#kernel.hit("gate refused an older epoch");
      return;
    }
    this.state = outcome.state;
    if (outcome.cutSessions) this.#cut();
    this.#release();
  }

  see(epoch: number): void {
    if (epoch <= this.state.epoch) return;
    this.state = seeEpoch(this.state, epoch);
    this.#cut();
  }

  drain(): void {
    this.state = startDrain(this.state);
    this.#release();
  }

  /** Whether a client may open a session, or send on one that it has. */
  admits(): boolean {
    return this.process.running && this.verdict() === "pass";
  }

  /** A reply of the member on its way out to the client of `session`. */
  passOut(session: number, pass: () => void): void {
    this.process.deliver(() => {
      if (session !== this.sessions) return;
      const verdict = this.verdict();
      if (verdict === "pass" || verdict === "finish") return pass();
      if (verdict === "cut") {
        this.#kernel.hit("gate cut a session by its own clock");
        return this.#cut();
      }
      this.#kernel.hit("gate held a reply");
      this.#held.push({ session, pass });
      this.#poll();
    });
  }

  #cut(): void {
    this.sessions++;
    this.#held = [];
  }

  #release(): void {
    const verdict = this.verdict();
    if (verdict === "cut") return void (this.#held.length > 0 && this.#cut());
    if (verdict === "hold") return;
    const held = this.#held;
    this.#held = [];
    for (const { session, pass } of held) if (session === this.sessions) pass();
  }

  /** What is held is cut by the gate's own clock, whoever is dead. */
  #poll(): void {
    if (this.#polling) return;
    this.#polling = true;
    const { life } = this.process;
    this.#kernel.after(millis(50), () => {
      this.process.deliverTo(life, () => {
        this.#polling = false;
        this.#release();
        if (this.#held.length > 0) this.#poll();
      });
    });
  }
}
