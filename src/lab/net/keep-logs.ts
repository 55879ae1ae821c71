/** What a lab leaves behind of a scenario that was not met: logs, recordings of agents, the topology. The data go with the lab. */
import { cpSync, mkdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import type { LabLayout } from "../layout.ts";

/** A file longer than this is not worth a full disk. */
const fileMaxBytes = 256 << 20;

/** Makes `to` if need be; what stands there under the same names is replaced. */
export function keepLogs(layout: LabLayout, to: string): void {
  mkdirSync(to, { recursive: true });
  cpSync(layout.topologyFile, join(to, basename(layout.topologyFile)));
  for (const { name, dir, member } of layout.regions) {
    copy(join(dir, "logs"), join(to, name), /\.log$/);
    copy(join(dir, "state"), join(to, name), /\.jsonl$/);
    if (member) copy(`${member.dataDir}.holdfast`, join(to, name), /\.log(\.\w+)?$/);
  }
}

function copy(from: string, to: string, wanted: RegExp): void {
  cpSync(from, to, {
    recursive: true,
    force: true,
    filter: (source) => {
      const stat = statSync(source, { throwIfNoEntry: false });
      if (!stat) return false;
      return source === from || (stat.isFile() && wanted.test(source) && stat.size <= fileMaxBytes);
    },
  });
}
