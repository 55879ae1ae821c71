/** What this machine lacks to hold a lab of network regions, and how to mend it. */
import { existsSync } from "node:fs";
import { findTool } from "./tool.ts";

const tools: Readonly<Record<string, string>> = {
  ip: "iproute2",
  nft: "nftables",
  nsenter: "util-linux",
  etcd: "etcd-server",
};

/** Empty: nothing. Else one sentence each. */
export function whatIsMissing(): readonly string[] {
  if (process.platform !== "linux")
    return [
      `the lab needs Linux (network namespaces), and this is ${process.platform}: "holdfast demo" runs here`,
    ];
  const missing: string[] = [];
  if (process.geteuid?.() !== 0)
    missing.push('only root may make network namespaces: try "sudo"; "holdfast demo" runs without');
  for (const [tool, packageName] of Object.entries(tools))
    if (findTool(tool) === null) missing.push(`${tool} is not installed (Debian: ${packageName})`);
  if (!existsSync("/proc/self/ns/net")) missing.push("this kernel has no network namespaces");
  return missing;
}
