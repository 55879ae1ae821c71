/** `holdfast store migrate`: move what the regions share from one control store to another, with the agents stopped. */
import { existsSync } from "node:fs";
import type { Command } from "commander";
import { makeId, migrate, openMarkedStore, placeOf, undo } from "../../adapters/adapters.ts";
import { timing } from "../../core/machine/timing.ts";
import type { Topology } from "../../core/model/topology.ts";
import { complain, orComplain } from "../connect.ts";
import { exit, exitWith } from "../exit.ts";
import { topologyOrComplain } from "../topology-file.ts";

interface Options {
  readonly secretsDir: string;
  readonly dryRun?: boolean;
  readonly undo?: boolean;
  readonly json?: boolean;
}

/** Two attempts in two seconds each: nobody waits here for a lease. */
const callTimeoutMs = 4000;

export function register(program: Command): void {
  const store = program.command("store").description("the control store: what all regions share");
  store
    .command("migrate")
    .description("move all records to another control store, while the agents are stopped")
    .argument("<from>", "topology file that names the store as it was")
    .argument("<to>", "topology file that names the store as it is to be")
    .option(
      "--secrets-dir <folder>",
      "where etcd's certificates and user are, as agents find them",
      "/etc/holdfast/secrets",
    )
    .option("--dry-run", "look at both stores and tell what would be done; write no record")
    .option("--undo", "take back a move that was interrupted before the leases were in the new store")
    .option("--json", "print the outcome as JSON")
    .addHelpText(
      "after",
      `
Example:
  holdfast store migrate holdfast.yaml holdfast-etcd.yaml --dry-run
  holdfast store migrate holdfast.yaml holdfast-etcd.yaml

Stop all agents first, the primary's region last; start them on the new file afterwards. Interrupted at any point, the same
command goes on, and agents start on neither store until it is done. The old store stays, marked: agents refuse it.

Exits with 0 when everything is in the new store, 5 when it is refused (nothing was changed), 4 when a store does not
answer, 6 when the outcome of a write is not known: then repeat it.`,
    )
    .action(run);
}

async function run(fromFile: string, toFile: string, options: Options): Promise<void> {
  const from = topologyOrComplain(fromFile)?.topology;
  const to = from && topologyOrComplain(toFile)?.topology;
  if (!from || !to) return;
  const wrong = whyNotPair(from, to);
  if (wrong) return complain(wrong, exit.invalid);
  if (from.store.kind === "embedded" && !existsSync(from.store.path))
    return complain(
      `there is no control store at ${from.store.path}, which ${fromFile} names: run this where it is, on the agents' host`,
      exit.invalid,
    );
  await orComplain(async () => {
    await using places = new Places(options.secretsDir);
    const source = { name: placeOf(from.store), store: await places.open(from) };
    const isNew = to.store.kind === "embedded" && !existsSync(to.store.path);
    const place = placeOf(to.store);
    if (options.undo) {
      const store = await places.open(to).catch((error: Error) => {
        process.stderr.write(
          `${error.message}\nwithout it: its mark stays there until the next move to it\n`,
        );
        return null;
      });
      const { kind, because } = await undo({ from: source, to: { name: place, store }, id: makeId() });
      if (options.json) print({ outcome: kind, because: [because] });
      if (kind === "refused") return complain(`cannot take it back: ${because}`, exit.refused);
      if (!options.json) process.stdout.write(`${because}\n`);
      return;
    }
    const outcome = await migrate({
      from: source,
      to: { name: place, store: options.dryRun && isNew ? null : await places.open(to) },
      members: new Map(to.dataStores.map(({ name, members }) => [name, members.map((one) => one.name)])),
      // A living agent writes at each beat; one that has not for this long is silent for the others as well.
      quietMs: Math.max(timing(from.profile).silentMs, timing(to.profile).silentMs),
      dryRun: options.dryRun ?? false,
      id: makeId(),
      wall: Date.now,
      say: (text) => void process.stderr.write(`${text}\n`),
    });
    tell(outcome, source.name, place, toFile, options.json ?? false);
  });
}

function tell(
  outcome: Awaited<ReturnType<typeof migrate>>,
  from: string,
  to: string,
  toFile: string,
  json: boolean,
): void {
  const moving = "plan" in outcome ? outcome.plan : null;
  const leases = (moving?.leases ?? []).map(({ dataStore, epoch, phase, holder }) => ({
    dataStore,
    epoch,
    phase,
    holder,
  }));
  const because = "because" in outcome ? [outcome.because].flat() : [];
  if (json) print({ outcome: outcome.kind, from, to, records: moving?.others.size ?? 0, leases, because });
  const lines = leases.map(
    ({ dataStore, epoch, phase, holder }) => `  ${dataStore}: epoch ${epoch}, ${phase}, ${holder}`,
  );
  const count = `${moving?.others.size ?? 0} records and ${leases.length} lease${leases.length === 1 ? "" : "s"}`;
  const say = (...text: readonly string[]) => {
    if (!json) process.stdout.write(`${text.join("\n")}\n`);
  };
  switch (outcome.kind) {
    case "moved":
      return say(
        `${count} moved from ${from} to ${to}`,
        ...lines,
        `next: start the agents with ${toFile}; ${from} is marked, agents refuse it`,
      );
    case "would-move":
      return say(`${count} would be moved from ${from} to ${to}; nothing is in the way`, ...lines);
    case "moved-before":
      return say(`${because.join("")}; nothing is left to do`);
    case "refused":
      complain(
        [`nothing is moved from ${from} to ${to}:`, ...because.map((one) => `  - ${one}`)].join("\n"),
        exit.refused,
      );
      return exitWith(exit.refused);
    default:
      return outcome satisfies never;
  }
}

function whyNotPair(from: Topology, to: Topology): string | null {
  if (from.name !== to.name)
    return `the files describe two topologies, ${from.name} and ${to.name}: records belong to one`;
  const [a, b] = [from.store, to.store];
  const same =
    (a.kind === "embedded" && b.kind === "embedded" && a.path === b.path) ||
    (a.kind === "etcd" && b.kind === "etcd" && a.endpoints.some((one) => b.endpoints.includes(one)));
  return same ? `both files name the same store, ${placeOf(a)}: there is nothing to move` : null;
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** Stores that are closed at the end, whatever happens. */
class Places implements AsyncDisposable {
  readonly #secretsDir: string;
  readonly #open: Awaited<ReturnType<typeof openMarkedStore>>[] = [];

  constructor(secretsDir: string) {
    this.#secretsDir = secretsDir;
  }

  async open(topology: Topology) {
    const store = await openMarkedStore(topology, this.#secretsDir, callTimeoutMs);
    this.#open.push(store);
    return store;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#open.map((store) => store.close()));
  }
}
