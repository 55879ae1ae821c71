/**
 * A request in, the regions out that may serve it: limits below the service's own (S14).
 *
 * - J1. Limits only narrow: all that match hold together, so no header that a client adds can give it a region.
 * - J2. What a server may read as the same is the same here: case of names, `_` for `-`, a port or a dot behind the host,
 *   escapes, doubled slashes, dots and parameters in the path. Where in doubt a limit matches.
 */
import type { RegionName } from "../model/id.ts";
import { inNetwork, parseNetwork } from "../model/network.ts";
import type { RequestMark, RequestSovereignty } from "../model/traffic.ts";

export type AllowedRegions = ReadonlySet<RegionName>;

/** What limits look at. */
export interface MarkedRequest {
  readonly host: string;
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  /** Address of the client's connection. */
  readonly client: string;
}

/** null: no limit matches, and none is needed. The same limits give the same set, so that it can be a key. */
export type LimitOf = (request: MarkedRequest) => AllowedRegions | null;

/** Sets are kept for so many combinations of limits; more are made anew, or clients could fill the memory. */
const combinationsMax = 256;

const nowhere: AllowedRegions = new Set();

export function compileSovereignty({ limits, others }: RequestSovereignty): LimitOf {
  const compiled = limits.map(({ when, regions }) => ({
    matches: matcherOf(when),
    regions: new Set(regions) as AllowedRegions,
  }));
  const combinations = new Map<string, AllowedRegions>();
  return (request) => {
    let allowed: AllowedRegions | null = null;
    let which = "";
    for (let at = 0; at < compiled.length; at++) {
      const limit = compiled[at] as (typeof compiled)[number];
      if (!limit.matches(request)) continue;
      which += ` ${at}`;
      if (allowed === null) {
        allowed = limit.regions;
        continue;
      }
      allowed = combinations.get(which) ?? meet(allowed, limit.regions);
      if (combinations.size < combinationsMax) combinations.set(which, allowed);
    }
    return allowed ?? (others === "refuse" ? nowhere : null);
  };
}

function meet(one: AllowedRegions, other: AllowedRegions): AllowedRegions {
  return new Set([...one].filter((region) => other.has(region)));
}

function matcherOf(mark: RequestMark): (request: MarkedRequest) => boolean {
  switch (mark.kind) {
    case "header": {
      const name = fieldName(mark.name);
      return ({ headers }) => {
        for (let at = 0; at < headers.length; at += 2)
          if (headers[at + 1] === mark.value && fieldName(headers[at] as string) === name) return true;
        return false;
      };
    }
    case "host": {
      const name = mark.name.toLowerCase();
      const below = name.startsWith("*.") ? name.slice(1) : null;
      return ({ host }) => {
        const asked = hostName(host);
        return below === null ? asked === name : asked.endsWith(below);
      };
    }
    case "path": {
      const prefix = mark.prefix.endsWith("/") ? mark.prefix : `${mark.prefix}/`;
      return ({ path }) =>
        `${plainPath(path, true)}/`.startsWith(prefix) || `${plainPath(path, false)}/`.startsWith(prefix);
    }
    case "network": {
      const network = parseNetwork(mark.cidr);
      // Checked with the table: what is no network holds for everybody rather than for nobody.
      return ({ client }) => network === null || inNetwork(network, client);
    }
    default:
      return mark satisfies never;
  }
}

function fieldName(name: string): string {
  return name.toLowerCase().replaceAll("_", "-");
}

/** `EU.Example.com.:8080` -> `eu.example.com`. */
function hostName(host: string): string {
  return host.toLowerCase().replace(/:\d*$/, "").replace(/\.$/, "");
}

/** `//a/./b;v=1/../%65u?x` -> `/a/eu`, as a lax server might read it; with `climbs` false `/a/b/eu`, as a lazy one might. */
export function plainPath(path: string, climbs: boolean): string {
  const end = path.search(/[?#]/);
  const raw = end < 0 ? path : path.slice(0, end);
  const decoded = raw.replace(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  const parts: string[] = [];
  for (const part of decoded.replaceAll("\\", "/").split("/")) {
    const name = part.replace(/;.*$/, "");
    if (name === "..") parts.length = Math.max(0, parts.length - (climbs ? 1 : 0));
    else if (name !== "" && name !== ".") parts.push(name);
  }
  return `/${parts.join("/")}`;
}
