/** A standby's forerunners: one to each member that may be promoted next, where that is far enough to be worth it. */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Epoch, MemberName } from "../../core/model/id.ts";
import type { SpanMs } from "../../core/model/time.ts";
import type { Member } from "../../core/model/topology.ts";
import type { Upstream } from "../../ports/database.ts";
import { Forerunner } from "./forerunner.ts";
import { readOwnHistory } from "./own-history.ts";
import type { Server } from "./server.ts";
import { standbyName } from "./settings.ts";
import { replayedBy } from "./standby.ts";
import { readSegment, segmentSize } from "./wal-files.ts";

/** Nearer than this a receiver connects in less time than we need to decide anything. */
const farMs: SpanMs = 10;
const connectTimeoutMs = 3000;
/** After a connection that was lost, doubling; and until a member that is near is asked again. */
const retryMs = 500;
const retryMaxMs = 30_000;
const nearAgainMs = 60_000;

export class Forerunners {
  readonly #server: Server;
  #epoch: Epoch = 0;
  #upstream: MemberName = "";
  #stopping = new AbortController();
  readonly #ready = new Map<MemberName, Forerunner>();
  /** In use by the receiver: kept open, whatever is prepared for the next change. */
  #carrying: Forerunner | null = null;

  constructor(server: Server) {
    this.#server = server;
  }

  /**
   * Readies one to everybody but `upstream` (empty: not known), which is followed in `epoch`, in the name that the next epoch
   * will ask for.
   */
  keep(epoch: Epoch, upstream: MemberName): void {
    if (this.#epoch === epoch && this.#upstream === upstream) return;
    this.#drop();
    this.#epoch = epoch;
    this.#upstream = upstream;
    const { conf } = this.#server.place;
    for (const member of conf.store.members)
      if (member.name !== conf.member.name && member.name !== upstream && member.promotable)
        void this.#keepTo(member, epoch + 1, this.#stopping.signal).catch(() => undefined);
  }

  async #keepTo(member: Member, epoch: Epoch, signal: AbortSignal): Promise<void> {
    const { conf, secrets } = this.#server.place;
    const name = standbyName(conf.member.name, epoch);
    const target = {
      address: member.address,
      password: secrets.replicator,
      database: conf.database,
      timeoutMs: connectTimeoutMs,
    };
    let waitMs = retryMs;
    while (!signal.aborted) {
      try {
        const one = await Forerunner.open(target, name, signal);
        const isFar = farMs <= (await one.roundTrip());
        if (isFar && !signal.aborted) {
          this.#ready.set(member.name, one);
          waitMs = retryMs;
          await one.closed();
          if (this.#ready.get(member.name) === one) this.#ready.delete(member.name);
        } else {
          one.close();
          waitMs = nearAgainMs;
        }
      } catch {
        // It may be down for hours; whether it is well is for others to say.
      }
      await pause(waitMs, undefined, { signal, ref: false });
      waitMs = Math.min(2 * waitMs, retryMaxMs);
    }
  }

  /** `upstream` has been claimed for, and nothing more: its WAL may be taken, and is not given to anybody (R1). */
  async expect(upstream: Upstream): Promise<void> {
    const one = this.#ready.get(upstream.member);
    if (one === undefined || upstream.epoch !== this.#epoch + 1) return;
    const { dataDir } = this.#server;
    const end = await replayedBy(this.#server);
    const timeline = readOwnHistory(dataDir, end).at(-1)?.timeline ?? 1;
    const walDir = join(dataDir, "pg_wal");
    const segmentBytes = segmentSize(walDir);
    const segment = end - (end % segmentBytes);
    const read = () => readSegment(walDir, timeline, segment, end - segment, segmentBytes);
    one.runAhead({ timeline, segment, end, read });
  }

  /** The one that has run ahead to `upstream`, if any: whoever takes it uses it or closes it. */
  take(upstream: Upstream): Forerunner | null {
    const one = this.#ready.get(upstream.member);
    if (one === undefined || upstream.epoch !== this.#epoch + 1 || !one.isAhead) return null;
    this.#ready.delete(upstream.member);
    this.#carrying = one;
    return one;
  }

  #drop(): void {
    this.#stopping.abort();
    this.#stopping = new AbortController();
    for (const one of this.#ready.values()) one.close();
    this.#ready.clear();
    this.#epoch = 0;
    this.#upstream = "";
  }

  /** This member is no standby, or nobody's. */
  close(): void {
    this.#drop();
    this.#carrying?.close();
    this.#carrying = null;
  }
}
