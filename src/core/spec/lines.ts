/** Offsets in a text as lines and columns. YAML's own counter stops counting where a text breaks. */

export interface Lines {
  /** Both from 1. */
  position(offset: number): { readonly line: number; readonly column: number };
}

export function countLines(text: string): Lines {
  const starts = [0, ...[...text.matchAll(/\r\n|\r|\n/g)].map((found) => found.index + found[0].length)];
  return {
    position(offset) {
      const at = Math.max(0, Math.min(offset, text.length));
      let [low, high] = [0, starts.length];
      while (low + 1 < high) {
        const middle = (low + high) >> 1;
        if (starts[middle]! <= at) low = middle;
        else high = middle;
      }
      return { line: low + 1, column: at - starts[low]! + 1 };
    },
  };
}
