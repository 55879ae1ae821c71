/** Notations with a unit or a shape of their own: durations, shares, addresses, origins and paths. */
import type { SpanMs } from "../model/time.ts";
import type { Address } from "../model/topology.ts";

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `1500ms`, `1.5s`, `1m30s` -> whole milliseconds; null: not a duration, or finer than a millisecond. */
export function parseDuration(text: string): SpanMs | null {
  if (text === "0") return 0;
  if (!/^(\d{1,12}(\.\d{1,6})?(ms|s|m|h|d))+$/.test(text)) return null;
  let micros = 0;
  for (const [, amount, unit] of text.matchAll(/([\d.]+)(ms|s|m|h|d)/g)) {
    micros += Number(amount) * unitMs[unit as string]! * 1000;
  }
  const ms = Math.round(micros) / 1000;
  return Number.isSafeInteger(ms) ? ms : null;
}

/** 90000 -> `90s`: the largest unit that keeps it whole, so that it reads back as the same number. */
export function formatDuration(ms: SpanMs): string {
  if (ms === 0) return "0s";
  for (const unit of ["d", "h", "m", "s"]) {
    if (ms % unitMs[unit]! === 0) return `${ms / unitMs[unit]!}${unit}`;
  }
  return `${ms}ms`;
}

/** For people, to three digits at most: `850 ms`, `6.37 s`, `43.2 min`, `7.2 h`. */
export function describeSpan(ms: SpanMs): string {
  if (ms === 0) return "0 s";
  if (ms < 1_000) return `${digits(ms)} ms`;
  if (ms < 120_000) return `${digits(ms / 1_000)} s`;
  if (ms < 7_200_000) return `${digits(ms / 60_000)} min`;
  return `${digits(ms / 3_600_000)} h`;
}

function digits(value: number): string {
  return String(Number(value.toPrecision(value < 1000 ? 3 : 12)));
}

/** `99.99%` or `0.9999` -> 0.9999; null: neither, or outside 0 to 1. */
export function parseShare(text: string): number | null {
  const match = /^(\d{1,3}(?:\.\d{1,15})?|\.\d{1,15})(%?)$/.exec(text);
  if (!match) return null;
  // The exponent, not a division: 99.9 / 100 is not the number nearest to 0.999.
  const share = match[2] === "%" ? Number(`${match[1]}e-2`) : Number(match[1]);
  return share <= 1 ? share : null;
}

const hostPattern = "(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?|\\[[0-9A-Fa-f:.]{2,45}\\])";
export const addressPattern = `^${hostPattern}:[0-9]{1,5}$`;
export const originPattern = `^https?://${hostPattern}(?::[0-9]{1,5})?$`;

/** `10.0.0.1:5432`, `db.example:5432`, `[::1]:5432`. The brackets are notation: the host is kept without them. */
export function parseAddress(text: string): Address | null {
  if (!new RegExp(addressPattern).test(text)) return null;
  const colon = text.lastIndexOf(":");
  const port = Number(text.slice(colon + 1));
  const host = text.slice(0, colon).replace(/^\[|\]$/g, "");
  return 1 <= port && port <= 65_535 ? { host, port } : null;
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** What a host is compared by: equal for the names that a machine has for itself. */
export function hostKey(host: string): string {
  const lower = host.toLowerCase();
  return lower === "localhost" || lower === "::1" ? "127.0.0.1" : lower;
}

/** Scheme, host and port of a URL without a path; null: not such a URL. */
export function parseOrigin(text: string): Address | null {
  if (!new RegExp(originPattern).test(text)) return null;
  const rest = text.slice(text.indexOf("//") + 2);
  if (/(^[^:[\]]+|\])$/.test(rest)) return parseAddress(`${rest}:${text.startsWith("https") ? 443 : 80}`);
  return parseAddress(rest);
}

/** `../data/x` from `/srv/holdfast` -> `/srv/data/x`. POSIX paths, as text: nothing is looked up on a disk. */
export function absolutePath(baseDir: string, path: string): string {
  const parts: string[] = [];
  for (const part of (path.startsWith("/") ? path : `${baseDir}/${path}`).split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}
