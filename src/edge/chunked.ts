/** Takes the chunked transfer coding off a body, strictly (RFC 9112 section 7.1), across the pieces in which it arrives. */

/** A size line is a hexadecimal number and perhaps extensions; more than this is an attack. */
const lineMaxBytes = 4096;
/** 2^52 bytes: a JavaScript integer stays exact. */
const sizeLine = /^([0-9A-Fa-f]{1,13})[\t ]*(?:;[^\r\n]*)?$/;

export type ChunkedOutcome = "more" | "end" | "error";

export class ChunkedReader {
  #phase: "size" | "data" | "data-end" | "trailer" | "over" = "size";
  #rest = 0;
  #line = "";
  /** Bytes of the piece that lie behind the end of the body. */
  leftover = 0;

  /** Gives each run of body bytes to `onData`; after `end` or `error` it must not be called again. */
  read(piece: Buffer, onData: (bytes: Buffer) => void): ChunkedOutcome {
    let at = 0;
    while (at < piece.length) {
      if (this.#phase === "data") {
        const taken = Math.min(this.#rest, piece.length - at);
        onData(piece.subarray(at, at + taken));
        at += taken;
        this.#rest -= taken;
        if (this.#rest === 0) this.#phase = "data-end";
        continue;
      }
      const newline = piece.indexOf(10, at);
      const until = newline < 0 ? piece.length : newline + 1;
      this.#line += piece.toString("latin1", at, until);
      at = until;
      if (lineMaxBytes < this.#line.length) return "error";
      if (newline < 0) break;
      if (!this.#line.endsWith("\r\n")) return "error";
      const outcome = this.#endLine(this.#line.slice(0, -2));
      this.#line = "";
      if (outcome === "more") continue;
      this.leftover = piece.length - at;
      return outcome;
    }
    return "more";
  }

  #endLine(line: string): ChunkedOutcome {
    switch (this.#phase) {
      case "size": {
        const size = sizeLine.exec(line)?.[1];
        if (size === undefined) return "error";
        this.#rest = Number.parseInt(size, 16);
        this.#phase = this.#rest === 0 ? "trailer" : "data";
        return "more";
      }
      case "data-end":
        this.#phase = "size";
        return line === "" ? "more" : "error";
      case "trailer":
        // Trailers are for this hop as far as we are concerned: read and left out.
        if (line !== "") return "more";
        this.#phase = "over";
        return "end";
      default:
        return "error";
    }
  }
}
