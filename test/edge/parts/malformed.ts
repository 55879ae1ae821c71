/** Malformed requests without end, from a seed: sound ones with something broken in them, and what breaks a reader's heart. */
import { corpus } from "./doubtful-requests.ts";

/** What one client does on one connection. */
export interface Malice {
  /** Sent piece by piece. */
  readonly pieces: readonly Buffer[];
  /** `wait`: for an answer or the end; `reset`: goes away at once; `half`: says that nothing more comes. */
  readonly end: "wait" | "reset" | "half";
  readonly requests: number;
}

/** xorshift32 (Marsaglia 2003): the same malice from the same seed on every machine. */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed | 0) === 0 ? 1 : seed | 0;
  }

  /** A whole number from 0 to `below` - 1. */
  below(below: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % below;
  }

  of<T>(all: readonly T[]): T {
    return all[this.below(all.length)] as T;
  }
}

const sound = [
  "GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
  "GET /x?y=z HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
  "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
  "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
  "DELETE /x HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\n\r\n",
];
const bits = [
  ..."\r\n|\n|\r|\0|:| |\t|,|;|/|?|#|%00|\x7f|\xff|\x0b|chunked|0\r\n\r\n|HTTP/1.1|HTTP/9.9".split("|"),
  "Content-Length: 5\r\n",
  "Content-Length: 99999999999\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: \tgzip, chunked\r\n",
  "Connection: close, host, content-length\r\n",
  "Host: b\r\n",
  "x".repeat(5000),
  "Y: z\r\n".repeat(120),
];

export function nextMalice(chance: Chance): Malice {
  const requests = 1 + (chance.below(4) === 0 ? chance.below(4) : 0);
  let text = "";
  // Sound ones first, so that the broken one lies behind what a proxy keeps its connection for.
  for (let n = 1; n < requests; n++) text += chance.of(sound);
  text += chance.below(8) === 0 ? (chance.of(corpus)[1] as string) : broken(chance);
  const bytes = Buffer.from(text, "latin1");
  const ends = chance.below(20);
  return {
    pieces: chance.below(5) === 0 ? cut(bytes, chance) : [bytes],
    end: ends === 0 ? "reset" : ends === 1 ? "half" : "wait",
    requests,
  };
}

function broken(chance: Chance): string {
  let text = chance.of(sound);
  for (let times = 1 + chance.below(3); times > 0; times--) {
    const at = chance.below(text.length + 1);
    switch (chance.below(6)) {
      case 0:
        text = text.slice(0, at) + String.fromCharCode(chance.below(256)) + text.slice(at + 1);
        break;
      case 1:
        text = text.slice(0, at) + chance.of(bits) + text.slice(at);
        break;
      case 2:
        text = text.slice(0, at) + text.slice(at + 1 + chance.below(8));
        break;
      case 3:
        text = text.slice(0, at);
        break;
      case 4: {
        const lines = text.split("\r\n");
        lines.splice(chance.below(lines.length), 0, chance.of(lines));
        text = lines.join("\r\n");
        break;
      }
      default:
        text += Array.from({ length: 1 + chance.below(40) }, () =>
          String.fromCharCode(chance.below(256)),
        ).join("");
    }
  }
  return text;
}

function cut(bytes: Buffer, chance: Chance): readonly Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + chance.below(Math.max(2, bytes.length >> 1));
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}
