/** A process on a host: it lives, may be stopped and go on with what had piled up, and may be killed; its disk is not it. */

export class Process {
  alive = false;
  /** Rises with each start and each end: what was meant for an earlier life does not reach a later one. */
  life = 0;
  #stops = 0;
  #waiting: { readonly life: number; readonly act: () => void }[] = [];

  get stopped(): boolean {
    return this.#stops > 0;
  }

  get running(): boolean {
    return this.alive && this.#stops === 0;
  }

  start(): void {
    this.alive = true;
    this.life++;
  }

  kill(): void {
    this.alive = false;
    this.life++;
    this.#stops = 0;
    this.#waiting = [];
  }

  /** Performs `act` in this life: now, or when the process goes on; never after its death. */
  deliver(act: () => void): void {
    if (!this.alive) return;
    if (this.#stops === 0) act();
    else this.#waiting.push({ life: this.life, act });
  }

  /** Performs `act` only if it is still the life `life`. */
  deliverTo(life: number, act: () => void): void {
    if (life === this.life) this.deliver(act);
  }

  stop(): void {
    this.#stops++;
  }

  /** Goes on when every stop has been taken back: first `first`, then what has piled up, in order. */
  resume(first?: () => void): void {
    if (this.#stops === 0) return;
    if (--this.#stops > 0) return;
    if (!this.alive) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    first?.();
    for (const { life, act } of waiting) if (life === this.life && this.alive) act();
  }
}
