/** The thread of `table-reading.ts`: texts in, what they say out; of services what changed, when asked. */
import { parentPort, workerData } from "node:worker_threads";
import type { RoutingTable, ServiceRoute } from "../core/model/routing.ts";
import { sha256, verifyTable } from "./signature.ts";
import { type ReadTable, TableReader } from "./table-reader.ts";
import {
  type ChangedService,
  type FromThread,
  type ThreadOptions,
  type ToThread,
  textOf,
} from "./table-reading.ts";

type Services = RoutingTable["services"];

/** Services: each costs the one who serves some 3 to 10 microseconds to take in. */
const toldAtOnce = 64;

const { keys, base } = workerData as ThreadOptions;
const reader = new TableReader();
let last: ReadTable | null = null;
let adopted: Services = {};

async function read(bytes: Uint8Array): Promise<FromThread> {
  const outcome = await reader.read(textOf(bytes));
  last = outcome.kind === "fits" ? outcome : null;
  if (outcome.kind === "misfit") return outcome;
  const { table, keyId, signature } = outcome.signed;
  const { services, ...head } = table;
  return {
    kind: "fits",
    head,
    keyId,
    signature,
    names: sameNames(adopted, services) ? null : Object.keys(services),
    changed: outcome.changed.length,
    invalid: keys === null ? "" : verifyTable(outcome.signed, keys, outcome.canonical),
    digest: sha256(outcome.undigested),
  };
}

function changedFrom(from: number): FromThread {
  const services = last?.signed.table.services ?? {};
  const names = last?.changed.slice(from, from + toldAtOnce) ?? [];
  return {
    kind: "changed",
    services: names.map((name) => changeOf(name, adoptedOf(name), services[name] as ServiceRoute)),
  };
}

function adoptedOf(name: string): ServiceRoute | null {
  return Object.hasOwn(adopted, name) ? (adopted[name] as ServiceRoute) : null;
}

/** By identity: the reader keeps the fields that did not change. */
function changeOf(name: string, before: ServiceRoute | null, route: ServiceRoute): ChangedService {
  if (before === null) return { name, fields: route, gone: null };
  const known = before as unknown as Readonly<Record<string, unknown>>;
  const fields = Object.entries(route).filter(
    ([key, field]) => !Object.hasOwn(known, key) || known[key] !== field,
  );
  const gone = Object.keys(before).filter((key) => !Object.hasOwn(route, key));
  return { name, fields: Object.fromEntries(fields), gone };
}

function sameNames(one: Services, other: Services): boolean {
  const names = Object.keys(one);
  const others = Object.keys(other);
  return names.length === others.length && names.every((name, at) => name === others[at]);
}

function adopt(): void {
  if (!last) return;
  reader.adopt(last);
  adopted = last.signed.table.services;
}

async function obey(message: ToThread): Promise<void> {
  if (message.kind === "read") parentPort?.postMessage(await read(message.bytes));
  else if (message.kind === "tell") parentPort?.postMessage(changedFrom(message.from));
  else adopt();
}

async function begin(): Promise<void> {
  await read(base);
  adopt();
  parentPort?.postMessage({ kind: "ready" } satisfies FromThread);
}

let queue = begin();
parentPort?.on("message", (message: ToThread) => {
  // An error ends this thread: what waits for it is read elsewhere.
  queue = queue.then(() => obey(message));
});
