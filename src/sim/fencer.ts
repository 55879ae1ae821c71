/** The fencer beside a member, as `src/fencer/fuse.ts` specifies it: ends the member unless it is petted in time. */
import type { Host } from "./host.ts";
import { type Kernel, millis } from "./kernel.ts";
import type { Postgres } from "./postgres.ts";
import { Process } from "./process.ts";

/** A member that somebody starts again while the fuse is burnt is ended again after one look. */
const patrolEvery = millis(50);

export class Fencer {
  readonly process = new Process();
  kind: "disarmed" | "armed" | "burnt" = "disarmed";
  epoch = 0;
  deadlineMs = Number.NEGATIVE_INFINITY;
  burntEpoch = 0;
  /** Ablation: it takes everything and does nothing. */
  readonly disabled: boolean;
  readonly #kernel: Kernel;
  readonly #host: Host;
  readonly #postgres: Postgres;
  readonly #onFired: (epoch: number) => void;
  #watching = Number.POSITIVE_INFINITY;
  #confirmed = true;

  constructor(
    kernel: Kernel,
    host: Host,
    postgres: Postgres,
    disabled: boolean,
    onFired: (epoch: number) => void,
  ) {
    this.#kernel = kernel;
    this.#host = host;
    this.#postgres = postgres;
    this.disabled = disabled;
    this.#onFired = onFired;
  }

  start(hostBooted: boolean): void {
    this.process.start();
    this.#watching = Number.POSITIVE_INFINITY;
    if (hostBooted && this.kind === "armed") this.kind = "disarmed";
    this.#look();
    if (this.kind === "armed") this.#watch();
    if (this.kind === "burnt") this.#fire();
  }

  /** Whether it was taken. */
  pet(epoch: number, deadlineMs: number): boolean {
    this.#look();
    if (epoch < this.epoch || epoch <= this.burntEpoch) return false;
    if (this.kind === "burnt" && !this.#confirmed) return false;
    const now = this.#host.monotonicMs();
    if (deadlineMs < now) return false;
    if (this.kind === "armed" && epoch === this.epoch && deadlineMs < this.deadlineMs) return false;
    this.kind = "armed";
    this.epoch = epoch;
    this.deadlineMs = deadlineMs;
    this.#watch();
    return true;
  }

  /** Whether it was taken. */
  disarm(epoch: number): boolean {
    this.#look();
    if (this.kind === "burnt" && !this.#confirmed) return false;
    if (epoch < this.epoch) return false;
    this.kind = "disarmed";
    this.epoch = epoch;
    return true;
  }

  /** PostgreSQL was started: a burnt fuse ends it again. */
  seeStart(): void {
    if (this.kind !== "burnt") return;
    this.#kernel.after(patrolEvery, () =>
      this.process.deliver(() => {
        if (this.kind === "burnt" && this.#postgres.process.alive) this.#fire();
      }),
    );
  }

  #watch(): void {
    const at = this.#host.whenMonotonic(this.deadlineMs) + 500;
    // Moved only to earlier instants: what wakes too early looks again, so that a pet costs no timer.
    if (this.#watching <= at) return;
    this.#watching = at;
    const { life } = this.process;
    this.#kernel.at(at, () =>
      this.process.deliverTo(life, () => {
        this.#watching = Number.POSITIVE_INFINITY;
        this.#look();
        if (this.kind === "armed") this.#watch();
      }),
    );
  }

  #look(): void {
    if (this.kind === "armed" && this.deadlineMs < this.#host.monotonicMs()) this.#fire();
  }

  #fire(): void {
    const first = this.kind !== "burnt";
    this.kind = "burnt";
    this.burntEpoch = Math.max(this.burntEpoch, this.epoch);
    if (this.disabled) return;
    this.#confirmed = false;
    const { life } = this.process;
    this.#kernel.after(millis(this.#kernel.chance("fencer").between(3, 25)), () => {
      const end = () => {
        if (this.#postgres.diskHung && this.#postgres.process.alive) {
          this.#kernel.after(millis(20), () => this.process.deliverTo(life, end));
          return;
        }
        if (first) {
          this.#kernel.hit("fencer fired");
          this.#kernel.tell(
            "part",
            `fencer ${this.#postgres.name}`,
            `ends ${this.#postgres.name}: not petted in epoch ${this.epoch}`,
          );
        }
        this.#postgres.kill();
        this.#confirmed = true;
        if (first) this.#onFired(this.epoch);
      };
      this.process.deliverTo(life, end);
    });
  }
}
