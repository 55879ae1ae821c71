/**
 * The walls of the house: which room may know which.
 *
 * W1. The core imports the core only, and of npm `yaml`, in `spec`. A stage knows the words and the stage before it.
 * W2. An adapter knows the words, the ports, and npm; never another adapter. `adapters.ts` is the one list.
 * W3. Only the command line and the lab choose adapters, and only from that list.
 * W4. What runs beside PostgreSQL (fencer) or in front of everything (edge) carries no more than it needs.
 */
import type { Import } from "./imports.ts";

/** Room -> rooms and packages that it may import, besides itself. `npm`: any package; `node:`: any part of Node. */
const mayKnow: Readonly<Record<string, readonly string[]>> = {
  "core/model": [],
  "core/spec": ["core/model", "yaml"],
  "core/observe": ["core/model"],
  "core/judge": ["core/model", "core/observe"],
  "core/decide": ["core/model", "core/judge"],
  "core/act": ["core/model", "core/decide"],
  "core/review": ["core/model", "core/act"],
  "core/lease": ["core/model"],
  "core/traffic": ["core/model"],
  "core/merge": ["core/model"],
  "core/machine": [
    "core/model",
    "core/observe",
    "core/judge",
    "core/decide",
    "core/act",
    "core/review",
    "core/lease",
    "core/traffic",
    "core/merge",
  ],
  ports: ["core/model"],
  "adapters/*": ["core/model", "ports", "node:", "npm"],
  "adapters/adapters.ts": ["core/model", "core/traffic", "ports", "adapters/*", "node:"],
  agent: ["core/model", "core/lease", "core/review", "core/machine", "ports", "node:", "npm"],
  edge: ["core/model", "core/traffic", "node:", "npm"],
  fencer: ["core/model", "node:"],
  // Compiled and installed in services: it stands alone.
  sdk: ["node:"],
  sim: ["core/model", "core/lease", "core/traffic", "core/machine"],
  lab: [
    "core/model",
    "core/review",
    "core/spec",
    "core/machine",
    "ports",
    "agent",
    "adapters/adapters.ts",
    "node:",
    "npm",
  ],
  cli: [
    "core/model",
    "core/spec",
    "core/review",
    "core/machine",
    "agent",
    "lab",
    "sim",
    "adapters/adapters.ts",
    "node:",
    "npm",
  ],
};

/** Doors in a wall, each with its reason. */
const doors: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "src/fencer/main.ts": {
    "src/adapters/postgres/process-tree.ts": "one way to end a member, whoever ends it",
  },
  "src/fencer/door.ts": { "src/adapters/fencer/wire.ts": "both ends of one socket, one text of its format" },
  "src/edge/main.ts": { "src/adapters/system/names.ts": "one memory of names, whoever connects" },
  "src/edge/worker.ts": { "src/adapters/system/names.ts": "one memory of names, whoever connects" },
  "src/lab/postgres-end.ts": {
    "src/adapters/postgres/process-tree.ts": "it must start in an instant, and the list loads every adapter",
  },
  "src/sim/run.ts": { "node:fs": "the runner reads and writes failures as files" },
};

export function roomOf(file: string): string {
  const [, room = "", second = "", third] = file.split("/");
  if (room === "core") return third === undefined ? "core" : `core/${second}`;
  if (room === "adapters") return third === undefined ? `adapters/${second}` : `adapters/${second}/`;
  return room;
}

/** null: it may. */
export function whyForbidden({ from, to, isOurs }: Import): string | null {
  if (doors[from]?.[to]) return null;
  // What is told of the package itself.
  if (to === "package.json" && roomOf(from) === "cli") return null;
  const room = roomOf(from);
  const known = mayKnow[room] ?? (room.startsWith("adapters/") ? mayKnow["adapters/*"] : undefined);
  if (!known) return `${from}: the room ${room} is not in test/tidy/walls.ts: say there what it may know`;
  if (isOurs && !to.startsWith("src/")) return `${from} reaches out of the house: ${to}`;
  const target = isOurs ? roomOf(to) : to.startsWith("node:") ? "node:" : to;
  if (target === room) return null;
  const may =
    known.includes(target) ||
    (!isOurs && target !== "node:" && known.includes("npm")) ||
    (target.startsWith("adapters/") && target.endsWith("/") && known.includes("adapters/*"));
  return may ? null : `${from} imports ${to}: ${room} may know ${known.join(", ") || "nothing"}`;
}
