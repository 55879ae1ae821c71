/** A topology of one region, `west`, with the service `orders` behind the edge `edge-west`. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export interface OneRegion {
  readonly name: string;
  readonly leaseProfile: "fast" | "balanced";
  /** All on 127.0.0.1; `undefined` only for whoever takes them out of a list of free ones. */
  readonly ports: Readonly<Record<"agent" | "origin" | "http" | "admin", number | undefined>>;
  /** What `orders` has beside its objectives and its endpoint: YAML. */
  readonly orders?: string;
  /** Documents that follow: YAML. */
  readonly more?: string;
}

/** Writes `holdfast.yaml` into `folder`. */
export function writeOneRegion(folder: string, region: OneRegion): void {
  const { name, leaseProfile, ports, orders = "", more = "" } = region;
  const text = `apiVersion: holdfast/v1
kind: Topology
metadata: { name: ${name} }
spec: { leaseProfile: ${leaseProfile} }
---
apiVersion: holdfast/v1
kind: Region
metadata: { name: west }
spec: { jurisdiction: eu, agent: "127.0.0.1:${ports.agent}" }
---
apiVersion: holdfast/v1
kind: Service
metadata: { name: orders }
spec:
  objectives: { availability: 99%, rto: 15s, rpo: 0s }
  endpoints: [{ region: west, url: "http://127.0.0.1:${ports.origin}" }]
${orders}---
apiVersion: holdfast/v1
kind: Edge
metadata: { name: edge-west }
spec: { region: west, http: "127.0.0.1:${ports.http}", admin: "127.0.0.1:${ports.admin}", stateDir: edge }
${more}`;
  writeFileSync(join(folder, "holdfast.yaml"), text);
}
