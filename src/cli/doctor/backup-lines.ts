/** What the doctor finds of the backups that the topology asks for, on the host that keeps them. */
import { join } from "node:path";
import { listBackups } from "../../adapters/adapters.ts";
import type { Topology } from "../../core/model/topology.ts";
import { fitBackups } from "../../core/spec/fit-backups.ts";
import { describeSpan } from "../../core/spec/units.ts";
import { type DoctorLine, lineOf } from "./line.ts";

export async function backupLines(
  { dataStores }: Topology,
  region: string | undefined,
  nowMs: number,
): Promise<readonly DoctorLine[]> {
  const lines: DoctorLine[] = [];
  for (const { name, backups: policy } of dataStores) {
    if (!policy || (region !== undefined && policy.region !== region)) continue;
    const folder = join(policy.folder, name);
    const what = `backups: ${name}`;
    try {
      const kept = await listBackups(folder);
      const newest = kept.findLast(({ record }) => record !== null);
      const ageMs = newest?.record ? nowMs - newest.record.takenAt : null;
      const measured =
        newest && ageMs !== null
          ? `${kept.length}, the newest ${newest.name}, ${describeSpan(Math.max(0, ageMs))} old, ${newest.test?.outcome ?? "not tested"}`
          : `none in ${folder}`;
      lines.push(
        lineOf(what, measured, fitBackups(policy, kept, nowMs), {
          backups: kept.length,
          ...(ageMs === null ? {} : { ageMs }),
        }),
      );
    } catch (error) {
      lines.push({
        what,
        fit: "problem",
        measured: `${folder} cannot be read: ${(error as Error).message}`,
        fits: "the user that takes backups may read them",
        advice: "run it as that user, on the host that keeps them",
        numbers: {},
      });
    }
  }
  return lines;
}
