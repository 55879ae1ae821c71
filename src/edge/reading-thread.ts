/** The thread of `table-reading.ts`: texts in, what they say out; of services those that changed, when asked. */
import { parentPort, workerData } from "node:worker_threads";
import { sha256, verifyTable } from "./signature.ts";
import { type ReadTable, TableReader } from "./table-reader.ts";
import type { FromThread, ThreadOptions, ToThread } from "./table-reading.ts";

/** Services: each costs the one who serves some 10 microseconds to take in. */
const toldAtOnce = 64;

const { keys, base } = workerData as ThreadOptions;
const reader = new TableReader();
let last: ReadTable | null = null;

async function read(text: string): Promise<FromThread> {
  const outcome = await reader.read(text);
  last = outcome.kind === "fits" ? outcome : null;
  if (outcome.kind === "misfit") return outcome;
  const { table, keyId, signature } = outcome.signed;
  const { services, ...head } = table;
  return {
    kind: "fits",
    head,
    keyId,
    signature,
    names: Object.keys(services),
    changed: outcome.changed.length,
    invalid: keys === null ? "" : verifyTable(outcome.signed, keys, outcome.canonical),
    digest: sha256(outcome.undigested),
  };
}

function changedFrom(from: number): FromThread {
  const services = last?.signed.table.services ?? {};
  const names = last?.changed.slice(from, from + toldAtOnce) ?? [];
  return { kind: "changed", services: names.map((name) => [name, services[name]!] as const) };
}

async function obey(message: ToThread): Promise<void> {
  if (message.kind === "read") parentPort?.postMessage(await read(message.text));
  else if (message.kind === "tell") parentPort?.postMessage(changedFrom(message.from));
  else if (last) reader.adopt(last);
}

async function begin(): Promise<void> {
  await read(base);
  if (last) reader.adopt(last);
  parentPort?.postMessage({ kind: "ready" } satisfies FromThread);
}

let queue = begin();
parentPort?.on("message", (message: ToThread) => {
  // An error ends this thread: what waits for it is read elsewhere.
  queue = queue.then(() => obey(message));
});
