/** The access log: one line of JSON a request, when it is over. Off, it costs a comparison with null. */
import type { ClientPeer, TrustedNetworks } from "./client-peer.ts";
import type { LineTaker } from "./line-sink.ts";
import { monotonicNow } from "./monotonic.ts";
import type { RequestHead } from "./request-head.ts";

/**
 * `answered` by the service; `retried` or `held` first; `cached`, `stale`: a kept answer, new or old; `shed` and `refused` by the edge, with its
 * code; `switched` to a WebSocket; `gone`: the client did not wait; `broken`: the service, in the middle of its answer.
 */
export type Outcome =
  | ("answered" | "retried" | "held" | "cached" | "stale" | "shed" | "refused")
  | ("switched" | "gone" | "broken");

/** What an exchange tells of itself on its way. */
export class AccessRecord {
  readonly #log: AccessLog;
  readonly #head: RequestHead | null;
  readonly #peer: ClientPeer;
  readonly #protocol: string;
  readonly #requestId: string;
  readonly #arrivedAt = monotonicNow();
  #answer = "";
  service: string | null = null;
  generation = 0;
  epoch = 0;
  class: string | null = null;
  priority: string | null = null;
  bytes = 0;
  upstreamMs = 0;
  outcome: Outcome | null = null;
  code: string | null = null;

  constructor(
    log: AccessLog,
    head: RequestHead | null,
    peer: ClientPeer,
    protocol: string,
    requestId: string,
  ) {
    this.#log = log;
    this.#head = head;
    this.#peer = peer;
    this.#protocol = protocol;
    this.#requestId = requestId;
  }

  answered(region: string | null, status: number): void {
    this.#answer = `,"status":${status},"region":${quoted(region)}`;
  }

  over(tries: number, heldMs: number): void {
    const { isoNow, query, networks } = this.#log;
    const outcome = this.outcome ?? (heldMs > 0 ? "held" : tries > 1 ? "retried" : "answered");
    const head = this.#head;
    const client = networks.clientOf(this.#peer, head?.forwardedFor ?? "");
    const path = head && (query ? head.path : withoutQuery(head.path));
    const durationMs = monotonicNow() - this.#arrivedAt;
    this.#log.push(
      `{"time":"${isoNow()}","requestId":"${this.#requestId}","traceId":${quoted(traceIdOf(head?.trace ?? null))}` +
        `,"client":"${client}","protocol":"${this.#protocol}","scheme":"${this.#peer.scheme}"` +
        `,"method":${quoted(head?.method ?? null)},"host":${quoted(head?.host ?? null)},"path":${quoted(path)}` +
        `${this.#answer === "" ? ',"status":null,"region":null' : this.#answer}` +
        `,"service":${quoted(this.service)},"generation":${this.generation},"epoch":${this.epoch}` +
        `,"class":${quoted(this.class)},"priority":${quoted(this.priority)},"tries":${tries},"heldMs":${Math.round(heldMs)},"bytes":${this.bytes}` +
        `,"durationMs":${durationMs.toFixed(2)},"upstreamMs":${this.upstreamMs.toFixed(2)}` +
        `,"outcome":"${outcome}","code":${quoted(this.code)}}\n`,
    );
  }
}

export class AccessLog {
  readonly query: boolean;
  readonly networks: TrustedNetworks;
  readonly #sink: LineTaker;
  #second = -1;
  #text = "";

  /** `query`: paths with what people typed, and sometimes tokens. */
  constructor(query: boolean, networks: TrustedNetworks, sink: LineTaker) {
    this.query = query;
    this.networks = networks;
    this.#sink = sink;
  }

  push(line: string): void {
    this.#sink.push(line);
  }

  /** All but the milliseconds is made once a second. */
  readonly isoNow = (): string => {
    const now = Date.now();
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#text = new Date(now).toISOString().slice(0, 20);
    }
    return `${this.#text}${String(now % 1000).padStart(3, "0")}Z`;
  };
}

function withoutQuery(path: string): string {
  const at = path.indexOf("?");
  return at < 0 ? path : path.slice(0, at);
}

/** W3C Trace Context: version, trace, parent, flags. */
function traceIdOf(trace: string | null): string | null {
  return trace !== null && /^[0-9a-f]{2}-[0-9a-f]{32}-/.test(trace) ? trace.slice(3, 35) : null;
}

/** What comes here is printable ASCII, or JSON must see to it. */
function quoted(text: string | null): string {
  if (text === null) return "null";
  return /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(text) ? `"${text}"` : JSON.stringify(text);
}
