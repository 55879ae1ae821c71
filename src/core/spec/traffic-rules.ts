/** What is wrong with the limits of a service's requests that no single field can show. */
import { parseNetwork } from "../model/network.ts";
import type { Breach, Draft, Drafts } from "./draft.ts";
import { quote } from "./scalar.ts";

/** `allowed`: regions that may serve the service, by the limits that are given. */
export type Allowing = (
  regions: readonly string[],
  jurisdictions: readonly string[],
) => readonly (string | undefined)[];

export function requestLimitBreaches(
  drafts: Drafts,
  draft: Draft<"Service">,
  allowing: Allowing,
): readonly Breach[] {
  const requests = draft.spec.sovereignty?.requests;
  if (!requests) return [];
  const above = ["spec", "sovereignty", "requests"] as const;
  const found: Breach[] = [];
  for (const [index, limit] of (requests.limits ?? []).entries()) {
    if (limit === undefined) continue;
    const path = [...above, "limits", index];
    const regions = (limit.regions ?? []).filter((name) => name !== undefined);
    const jurisdictions = (limit.jurisdictions ?? []).filter((name) => name !== undefined);
    if (limit.when?.kind === "network" && limit.when.cidr !== undefined && !parseNetwork(limit.when.cidr)) {
      const message = `${quote(limit.when.cidr)} is no network`;
      found.push({
        draft,
        path: [...path, "when", "network", "cidr"],
        message,
        hint: "write one such as 10.2.0.0/16 or 2001:db8::/32",
      });
    }
    if (regions.length + jurisdictions.length === 0) {
      const hint = "name the regions or the jurisdictions that may serve these requests";
      found.push({ draft, path, message: "this limit limits nothing", hint });
    } else if (allowing(regions, jurisdictions).length === 0) {
      const message = `no region that may serve ${quote(draft.name ?? "this service")} passes this limit`;
      found.push({ draft, path, message, hint: "its requests would all be refused: widen one of the two" });
    }
  }
  const [router] = drafts.Router;
  if (router) {
    const message = `${router.spec.plane?.kind ?? "another data plane"} cannot tell whose request it is`;
    const hint =
      "it would serve every request anywhere the service may be: limit the whole service, or leave the router out";
    const first = { draft: router, path: ["kind"], label: "the data plane" };
    found.push({ draft, path: above, message, hint, first });
  }
  return found;
}
