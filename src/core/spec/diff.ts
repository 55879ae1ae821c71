/** Two topologies in, what differs out: by name, field by field, with what to beware of. */

import type { Topology } from "../model/topology.ts";
import { servingFields } from "./edge.ts";

export interface Change {
  readonly kind: "added" | "removed" | "changed" | "reordered";
  /** Such as `DataStore/orders-db members/pg-west dataDir`. */
  readonly path: string;
  /** JSON text; null: it was not there. */
  readonly before: string | null;
  readonly after: string | null;
  /** What it does to what runs; empty where it is harmless. */
  readonly beware: string;
}

/** Empty: they mean the same. The digest is not compared. */
export function diffTopologies(before: Topology, after: Topology): readonly Change[] {
  const { digest: _before, ...one } = before;
  const { digest: _after, ...other } = after;
  return differences(one, other, []);
}

type Steps = readonly string[];

function differences(before: unknown, after: unknown, steps: Steps): readonly Change[] {
  if (Array.isArray(before) && Array.isArray(after)) return listDifferences(before, after, steps);
  if (isRecord(before) && isRecord(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) => differences(own(before, key), own(after, key), [...steps, key]));
  }
  const [old, young] = [show(before), show(after)];
  if (old === young) return [];
  const kind = old === null ? "added" : young === null ? "removed" : "changed";
  return [change(kind, steps, old, young)];
}

/** Elements that bear a name (or a region) are the same element wherever they stand. */
function listDifferences(
  before: readonly unknown[],
  after: readonly unknown[],
  steps: Steps,
): readonly Change[] {
  const [old, young] = [before.map(keyOf), after.map(keyOf)];
  if ([...old, ...young].includes(null)) {
    return show(before) === show(after) ? [] : [change("changed", steps, show(before), show(after))];
  }
  const found: Change[] = [];
  for (const [index, key] of old.entries()) {
    const at = young.indexOf(key);
    const below = [...steps, key as string];
    if (at < 0) found.push(change("removed", below, show(before[index]), null));
    else found.push(...differences(before[index], after[at], below));
  }
  for (const [index, key] of young.entries()) {
    if (!old.includes(key)) found.push(change("added", [...steps, key as string], null, show(after[index])));
  }
  const kept = old.filter((key) => young.includes(key));
  const now = young.filter((key) => old.includes(key));
  if (kept.join() !== now.join()) found.push(change("reordered", steps, show(kept), show(now)));
  return found;
}

function change(kind: Change["kind"], steps: Steps, before: string | null, after: string | null): Change {
  return { kind, path: pathOf(steps), before, after, beware: beware(kind, steps, before, after) };
}

const rooms: Readonly<Record<string, string>> = {
  regions: "Region",
  dataStores: "DataStore",
  services: "Service",
  edges: "Edge",
  routers: "Router",
};

function pathOf([room, name, ...rest]: Steps): string {
  const kind = room === undefined ? undefined : rooms[room];
  if (kind === undefined) return ["Topology", [room, name, ...rest].filter(isWord).join(".")].join(" ");
  if (name === undefined) return `${kind}s`;
  return [`${kind}/${name}`, rest.join(".")].filter((part) => part !== "").join(" ");
}

const servingWords: ReadonlySet<string> = new Set(Object.keys(servingFields));

/** What a running system does not survive unnoticed. */
function beware(kind: Change["kind"], steps: Steps, before: string | null, after: string | null): string {
  const [room, name, part, member, field] = steps;
  const below = steps.length;
  if (room === "name" && below === 1) return "agents of another topology do not speak with these";
  if (room === "store")
    return "another memory: epochs begin anew there; move the records before agents start";
  if (room === "profile" && name === "name")
    return "agents with different leases misjudge one another: change all at once";
  if (room === "regions" && below === 2 && kind !== "changed")
    return "the number of votes changes: let agents settle before anything else";
  if (room === "regions" && below === 1) return "the failover plan changes its order";
  if (room === "regions" && part === "jurisdiction") return "what may be served and stored there changes";
  if (room === "dataStores" && below === 2 && kind === "removed")
    return "nobody watches over its data any more; the folders stay";
  if (room === "dataStores" && part === "replication") {
    return after === '"asynchronous"'
      ? "acknowledged writes may be lost from then on"
      : "commits wait for standbys from then on";
  }
  if (room === "dataStores" && part === "acknowledgements" && Number(after) < Number(before)) {
    return "fewer copies of an acknowledged write";
  }
  if (room === "dataStores" && part === "backups" && (member === "folder" || member === "region"))
    return "backups that are there stay there: nobody looks at them any more";
  if (room === "dataStores" && part === "members" && member !== undefined) {
    if (below === 4 && kind === "removed") return "one copy less; switch over first if it is the primary";
    if (field === "dataDir") return "the folder is not moved: an empty one is seeded anew";
    if (field === "region") return "its agent is another one: stop the member first";
  }
  if (room === "edges" && part !== undefined && servingWords.has(part))
    return "an edge reads it when it starts: restart them one after the other";
  if (room === "services" && part === "allow")
    return "regions that may serve it change: edges refuse the others at once";
  const isOfLimits = member === "sovereignty" || `${before}${after}`.includes('"sovereignty"');
  if (room === "services" && part === "traffic" && isOfLimits)
    return "where some of its requests may be served changes, at once";
  return "";
}

function keyOf(element: unknown): string | null {
  if (typeof element === "string") return element;
  const name = isRecord(element) ? (own(element, "name") ?? own(element, "region")) : undefined;
  return typeof name === "string" ? name : null;
}

function show(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value);
}

function own(record: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function isWord(word: string | undefined): word is string {
  return word !== undefined;
}
