/** The lab's three regions as tests start them by themselves: real agents, fencers, edges and PostgreSQL, no service. */
import { loadOrMakeSecrets } from "../../src/adapters/adapters.ts";
import { sha256 } from "../../src/cli/topology-file.ts";
import type { Topology } from "../../src/core/model/topology.ts";
import { compileTopology } from "../../src/core/spec/spec.ts";
import type { LabLayout } from "../../src/lab/layout.ts";
import { prepareFolders, World } from "../../src/lab/world.ts";

export function newWorld(layout: LabLayout): World {
  prepareFolders(layout);
  const secrets = loadOrMakeSecrets(layout.secretsDir);
  return new World({
    layout,
    topology: compile(layout),
    secrets: { token: secrets.token, publicKeys: secrets.publicKeys, appPassword: secrets.postgres.app },
    withService: false,
    say: () => {},
    stateFile: null,
    control: "http://127.0.0.1:1",
    removeFolder: false,
  });
}

export function compile({ topologyText: text, topologyFile: file }: LabLayout): Topology {
  const compiled = compileTopology({ text, file, baseDir: "/" }, sha256);
  if (compiled.kind === "valid") return compiled.topology;
  throw new Error(`the topology is not valid: ${compiled.problems.map(({ message }) => message).join("; ")}`);
}
