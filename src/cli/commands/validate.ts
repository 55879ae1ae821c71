/** `holdfast validate`: is this file a topology, and if not, everything that is wrong with it. */
import type { Command } from "commander";
import type { Topology } from "../../core/model/topology.ts";
import { describeSpan } from "../../core/spec/units.ts";
import { type Paint, paintFor } from "../paint.ts";
import { defaultFile, topologyOrComplain } from "../topology-file.ts";

export function register(program: Command): void {
  program
    .command("validate")
    .description("check that a topology file is valid; tell all problems with line and column")
    .argument("[file]", 'topology file, or "-" for standard input', defaultFile)
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Examples:
  holdfast validate examples/topologies/three-regions.yaml
  holdfast validate --json | jq '.problems[] | {line, message}'

Exits with 0 when the file is valid, 3 when it is not.`,
    )
    .action((file: string, options: { readonly json?: boolean }) => {
      const loaded = topologyOrComplain(file, options);
      if (loaded === null) return;
      const { topology } = loaded;
      const output = options.json
        ? JSON.stringify({ valid: true, file: loaded.file, digest: topology.digest, problems: [] }, null, 2)
        : summary(loaded.file, topology, paintFor(process.stdout));
      process.stdout.write(`${output}\n`);
    });
}

function summary(file: string, topology: Topology, paint: Paint): string {
  const { regions, dataStores, services, edges, routers = [] } = topology;
  const rows: readonly (readonly [string, string])[] = [
    [
      "topology",
      `${topology.name}, mode ${topology.mode}, ${topology.profile.name} lease, ${topology.store.kind} store`,
    ],
    ...regions.map(
      ({ name, role, jurisdiction }) => ["region", `${name}, ${role}, in ${jurisdiction}`] as const,
    ),
    ...dataStores.map(
      ({ name, replication, members }) =>
        [
          "data store",
          `${name}, ${replication}: ${members.map((member) => member.name).join(", ")}`,
        ] as const,
    ),
    ...services.map(
      ({ name, tier, objectives: { availability, rtoMs, rpoMs } }) =>
        [
          "service",
          `${name}, tier ${tier}: ${Number((availability * 100).toPrecision(12))} %, RTO ${describeSpan(rtoMs)}, RPO ${describeSpan(rpoMs)}`,
        ] as const,
    ),
    ...edges.map(({ name, region }) => ["edge", `${name} in ${region}`] as const),
    ...routers.map(({ name, region, kind }) => ["router", `${name} in ${region}, ${kind}`] as const),
    ["digest", topology.digest.slice(0, 16)],
  ];
  const lines = rows.map(([label, value]) => `  ${paint("dim", label.padEnd(10))}  ${value}`);
  return [`${paint("green", paint("bold", `${file} is valid`))}`, ...lines].join("\n");
}
