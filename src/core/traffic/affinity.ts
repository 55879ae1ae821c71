/** The key by which a request keeps to its upstream; null: it has none, and goes where any other would. */
import type { AffinityRules } from "../model/traffic.ts";
import type { MarkedRequest } from "./sovereignty.ts";

export function affinityKey(
  rules: AffinityRules,
  { headers, client }: Pick<MarkedRequest, "headers" | "client">,
): string | null {
  switch (rules.kind) {
    case "client":
      return client;
    case "header":
      return fieldOf(headers, rules.name);
    case "cookie": {
      const cookies = fieldOf(headers, "cookie");
      return cookies === null ? null : cookieOf(cookies, rules.name);
    }
    default:
      return rules satisfies never;
  }
}

function fieldOf(headers: readonly string[], name: string): string | null {
  const lower = name.toLowerCase();
  for (let at = 0; at < headers.length; at += 2) {
    const field = headers[at] as string;
    if (field.length === lower.length && field.toLowerCase() === lower) return headers[at + 1] as string;
  }
  return null;
}

/** RFC 6265 section 4.2.1: `a=1; b=2`. Names differ by case. */
function cookieOf(cookies: string, name: string): string | null {
  for (const pair of cookies.split(";")) {
    const equals = pair.indexOf("=");
    if (0 < equals && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim();
  }
  return null;
}
