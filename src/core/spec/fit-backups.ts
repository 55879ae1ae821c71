/** Backups that there are, against those that there must be: the part of readiness that standbys cannot give. */
import type { KeptBackup } from "../model/backup.ts";
import type { SpanMs, WallMs } from "../model/time.ts";
import type { BackupPolicy } from "../model/topology.ts";
import type { Verdict } from "./fit.ts";
import { describeSpan, formatDuration } from "./units.ts";

/**
 * `kept`: in the order of time. A backup that nobody restored is a hope: without a test that passed lately, or with a last
 * one that failed, it is a problem.
 */
export function fitBackups(policy: BackupPolicy, kept: readonly KeptBackup[], now: WallMs): Verdict {
  const fits = `one of the last ${formatDuration(policy.maxAgeMs)}, and a restore test that passed in the last ${formatDuration(policy.testMaxAgeMs)}, none that failed since`;
  const problem = (advice: string): Verdict => ({ fit: "problem", fits, advice });
  const newest = kept.findLast(({ record }) => record !== null);
  if (!newest?.record) return problem('there is none: run "holdfast backup take"');
  const ageMs = now - newest.record.takenAt;
  if (!isWithin(policy.maxAgeMs, ageMs))
    return problem(
      ageMs < 0
        ? `${newest.name} lies ${describeSpan(-ageMs)} ahead: see the clocks, then run "holdfast backup take"`
        : `${newest.name} is too old: see why none was taken since, or run "holdfast backup take"`,
    );
  const tests = kept.flatMap(({ test }) => test ?? []).sort((a, b) => a.testedAt - b.testedAt);
  const last = tests.at(-1);
  if (!last) return problem('none was tested: run "holdfast backup test"');
  if (last.outcome === "failed")
    return problem(
      `${last.backup} failed its test${last.damages[0] ? `, ${last.damages[0].file || "PostgreSQL"}: ${last.damages[0].because}` : ""}; see the disk, take a new one and test that`,
    );
  const sinceMs = now - last.testedAt;
  if (!isWithin(policy.testMaxAgeMs, sinceMs))
    return problem(
      `the last test was ${describeSpan(Math.abs(sinceMs))} ${sinceMs < 0 ? "ahead" : "ago"}: run "holdfast backup test"`,
    );
  const unreadable = kept.filter(({ record }) => record === null).map(({ name }) => name);
  if (unreadable.length > 0)
    return {
      fit: "warning",
      fits,
      advice: `${unreadable.join(", ")}: backup.json cannot be read; see the disk, remove what is of no use`,
    };
  return { fit: "ok", fits, advice: "" };
}

/** What a time service may step a clock back. */
const clockErrorMs = 60_000;

/** False for what is no number: an instant that cannot be read is never young. One from the future would be young for ever. */
function isWithin(maxMs: SpanMs, ageMs: SpanMs): boolean {
  return -clockErrorMs <= ageMs && ageMs <= maxMs;
}
