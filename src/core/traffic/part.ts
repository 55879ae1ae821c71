/** The part of a limit that one of several processes goes by: together they never go beyond the whole. */

export interface Part {
  /** From 0 on. */
  readonly index: number;
  readonly of: number;
}

export const whole: Part = { index: 0, of: 1 };

/**
 * Whole numbers whose sum over all parts is `total` (Hermite's identity), and Infinity of Infinity. At least 1 of what is not
 * 0: a process that could ask nobody would turn everybody away. So of a total below `of` the sum is `of`.
 */
export function partOf(total: number, { index, of }: Part): number {
  return Math.max(Math.min(1, total), Math.floor((total + index) / of));
}
