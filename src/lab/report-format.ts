/** Figures as people read them. */

/** 12345 -> `12,345`. */
export function count(n: number): string {
  return n.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/** 842.31 -> `842 ms`; 1930 -> `1.93 s`; 0.4 -> `0.4 ms`; null -> `not reached`. */
export function duration(ms: number | null): string {
  if (ms === null) return "not reached";
  if (ms < 0) return `\u2212${duration(-ms)}`;
  if (ms === 0) return "0 ms";
  if (ms < 10) return `${Number(ms.toFixed(1)) || Number(ms.toPrecision(1))} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 99_995) return `${(ms / 1_000).toFixed(2)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** On an axis: `-5 s`, `0`, `2.5 s`. */
export function second(ms: number): string {
  return ms === 0 ? "0" : `${ms < 0 ? "\u2212" : ""}${Math.abs(ms) / 1_000} s`;
}

/** 25769803776 -> `24 GiB`. */
export function bytes(n: number): string {
  return `${Math.round(n / 2 ** 30)} GiB`;
}

/** A step of 1, 2 or 5 times a power of ten that divides `span` into `parts` or fewer. */
export function niceStep(span: number, parts: number): number {
  const rough = Math.max(span, Number.MIN_VALUE) / parts;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999_999) ?? 10);
}
