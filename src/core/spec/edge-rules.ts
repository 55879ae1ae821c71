/** What is wrong with how an edge serves that no single field can show. */
import { parseNetwork } from "../model/network.ts";
import type { Breach, Drafts } from "./draft.ts";
import { quote } from "./scalar.ts";

export function servingBreaches(drafts: Drafts): readonly Breach[] {
  const found: Breach[] = [];
  for (const draft of drafts.Edge) {
    const { trustedProxies, concurrency } = draft.spec;
    for (const [index, network] of (trustedProxies ?? []).entries()) {
      if (network === undefined || parseNetwork(network)) continue;
      const message = `${quote(network)} is no network`;
      const hint = "write an address, or a network such as 10.2.0.0/16 or 2001:db8::/32";
      found.push({ draft, path: ["spec", "trustedProxies", index], message, hint });
    }
    const { least, most } = concurrency ?? {};
    if (least !== undefined && most !== undefined && most < least) {
      const message = `least ${least} is above most ${most}`;
      const hint = "the limit is learnt between the two";
      found.push({ draft, path: ["spec", "concurrency", "least"], message, hint });
    }
  }
  return [...found, ...bulkheads(drafts)];
}

/** Each process must be able to ask at least once, or it would turn its clients away. */
function bulkheads(drafts: Drafts): readonly Breach[] {
  const counts = drafts.Edge.flatMap((edge) =>
    typeof edge.spec.processes === "number" ? [{ edge, processes: edge.spec.processes }] : [],
  );
  const largest = counts.sort((a, b) => b.processes - a.processes)[0];
  if (largest === undefined) return [];
  const { edge, processes } = largest;
  return drafts.Service.flatMap((draft) =>
    (["connections", "requests"] as const).flatMap((part) => {
      const limit = draft.spec.bulkhead?.[part];
      if (limit === undefined || processes <= limit) return [];
      const message = `${limit} cannot be divided among ${processes} processes of ${quote(edge.name ?? "an edge")}`;
      const hint = `allow ${processes} at least, or give the edge fewer processes`;
      const first = { draft: edge, path: ["spec", "processes"], label: "the processes" };
      return [{ draft, path: ["spec", "bulkhead", part], message, hint, first }];
    }),
  );
}
