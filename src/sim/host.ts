/** One region's host: its clocks, and whether it has power. */
import type { Kernel, Micros } from "./kernel.ts";

/** 2026-01-01T00:00:00Z: every world begins then, so that a run is the same on any day. */
const epochWallMs = 1_767_225_600_000;

export class Host {
  readonly region: string;
  readonly #kernel: Kernel;
  up = true;
  /** Monotonic milliseconds that pass in one of the world's, such as 1.004 (S7: up to 1 % apart). */
  readonly rate: number;
  #bootedAt: Micros = 0;
  #startsAtMs: number;
  wallShiftMs = 0;

  constructor(kernel: Kernel, region: string, rate: number, startsAtMs: number) {
    this.#kernel = kernel;
    this.region = region;
    this.rate = rate;
    this.#startsAtMs = startsAtMs;
  }

  /** CLOCK_MONOTONIC: runs on while processes are stopped, begins anew with the host. */
  monotonicMs(): number {
    return this.#startsAtMs + ((this.#kernel.now - this.#bootedAt) / 1000) * this.rate;
  }

  wallMs(): number {
    return epochWallMs + this.#kernel.now / 1000 + this.wallShiftMs;
  }

  /** When this host's monotonic clock will have reached `atMs`: the first whole microsecond. */
  whenMonotonic(atMs: number): Micros {
    let at = this.#bootedAt + Math.ceil(((atMs - this.#startsAtMs) / this.rate) * 1000);
    // Rounding of the division must not make it wake a moment too early, for ever.
    while (this.#startsAtMs + ((at - this.#bootedAt) / 1000) * this.rate < atMs) at++;
    return at;
  }

  boot(startsAtMs: number): void {
    this.up = true;
    this.#bootedAt = this.#kernel.now;
    this.#startsAtMs = startsAtMs;
  }
}
