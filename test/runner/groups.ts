/** Which test files there are, and which of them may run side by side. */
import { globSync } from "node:fs";

export interface Group {
  readonly name: string;
  readonly files: readonly string[];
  /** Files at a time. */
  readonly concurrency: number;
  /** Of one file: a file that hangs fails, and the run goes on. */
  readonly fileTimeoutMs: number;
}

/**
 * Whatever starts servers or measures time runs alone, or the figures of one are the load of the other; this is what
 * only computes, or needs no more than small processes of its own.
 */
const sideBySide = [
  /^test\/core\//,
  /^test\/tidy\.test\.ts$/,
  /^test\/cli\/(bad-input|paint|reference|topology-commands)/,
  /^test\/sim\//,
  /^test\/agent\//,
  /^test\/adapters\/system\//,
  /^test\/adapters\/http\//,
  /^test\/bench\//,
  /^test\/lab\/(oracle|report)/,
  /^test\/lab\/history\/(accepted|rejected|search|history-file)/,
];

/** Whole worlds of some fifteen processes: last, so that a mistake further down is told first. */
const worlds = [/^test\/lab\//, /^test\/stories\//];

/** `filters`: only files whose path contains one of them; none: all. */
export function groupsOf(root: string, filters: readonly string[]): readonly Group[] {
  const files = globSync("test/**/*.test.ts", { cwd: root })
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .sort();
  const isSmall = (file: string) => sideBySide.some((pattern) => pattern.test(file));
  const isWorld = (file: string) => !isSmall(file) && worlds.some((pattern) => pattern.test(file));
  const groups: readonly Group[] = [
    {
      name: "side by side",
      files: files.filter(isSmall),
      concurrency: 2,
      fileTimeoutMs: 300_000,
    },
    {
      name: "with real parts, one file at a time",
      files: files.filter((file) => !isSmall(file) && !isWorld(file)),
      concurrency: 1,
      fileTimeoutMs: 300_000,
    },
    {
      name: "with three regions, one file at a time",
      files: files.filter(isWorld),
      concurrency: 1,
      fileTimeoutMs: 420_000,
    },
  ];
  return groups.filter((group) => group.files.length > 0);
}
