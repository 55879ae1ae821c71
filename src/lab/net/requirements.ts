/** What this machine lacks to hold a lab of network regions, and how to mend it. */
import { closeSync, existsSync, openSync } from "node:fs";
import { disksFor } from "./disk.ts";
import { ownEnclosure } from "./enclosure.ts";
import { areLinksPlain } from "./hub.ts";
import type { Scenario } from "./scenario.ts";
import { findTool } from "./tool.ts";

const tools: Readonly<Record<string, string>> = {
  ip: "iproute2",
  nft: "nftables",
  nsenter: "util-linux",
  etcd: "etcd-server",
};
/** Whoever is not root needs them too. */
const toolsOfUsers: Readonly<Record<string, string>> = { unshare: "util-linux", mount: "mount" };

/** To make networks here and now; empty: nothing. Else one sentence each. */
export function whatIsMissing(): readonly string[] {
  if (process.platform !== "linux")
    return [
      `the lab needs Linux (network namespaces), and this is ${process.platform}: "holdfast demo" runs here`,
    ];
  const missing: string[] = [];
  if (!isRoot())
    missing.push('only root may make network namespaces: try "sudo"; "holdfast demo" runs without');
  missing.push(...withoutTools(tools));
  if (!existsSync("/proc/self/ns/net")) missing.push("this kernel has no network namespaces");
  return missing;
}

/** As `whatIsMissing`, for a lab that whoever is not root has in namespaces of their own, which must be tried. */
export function whatLabsMiss(): readonly string[] {
  if (process.platform !== "linux" || isRoot()) return whatIsMissing();
  return withoutTools({ ...tools, ...toolsOfUsers });
}

/** What this scenario needs beside a lab. */
export function whatScenarioMisses({ faults, links }: Pick<Scenario, "faults" | "links">): readonly string[] {
  const missing: string[] = [];
  const noDisks = disksFor(faults) === null ? null : whyNoDisks();
  if (noDisks !== null) missing.push(noDisks);
  if (areLinksPlain(links)) return missing;
  missing.push(...withoutTools({ perl: "perl" }));
  try {
    closeSync(openSync("/dev/net/tun", "r+"));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const way =
      code === "EACCES" ? 'try "sudo chmod 666 /dev/net/tun", or "sudo" for this' : '"modprobe tun"';
    missing.push(`distance between regions needs /dev/net/tun, which cannot be opened (${code}): ${way}`);
  }
  return missing;
}

/** null: disks that can break may be mounted. */
export function whyNoDisks(): string | null {
  return isRootOfMachine() ? null : 'only root may mount disks that can break: try "sudo"';
}

/** Of the machine, or of an enclosure. */
function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

function isRootOfMachine(): boolean {
  return isRoot() && ownEnclosure() === null;
}

function withoutTools(needed: Readonly<Record<string, string>>): string[] {
  return Object.entries(needed)
    .filter(([tool]) => findTool(tool) === null)
    .map(([tool, packageName]) => `${tool} is not installed (Debian: ${packageName})`);
}
