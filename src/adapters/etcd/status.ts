/** What one member of etcd says of itself and of who leads: for who measures, never for a decision. */
import type { SpanMs } from "../../core/model/time.ts";
import { Endpoints, type EndpointsOptions } from "./endpoints.ts";

export interface EtcdStatus {
  readonly endpoint: string;
  readonly version: string;
  /** Hexadecimal ids; `leader` 0: it knows none. */
  readonly member: string;
  readonly leader: string;
  /** Rises with each election. */
  readonly raftTerm: number;
  readonly bytes: number;
}

/** null: no answer in time, or none that may be had. */
export async function askEtcdStatus(
  options: EndpointsOptions,
  endpoint: string,
  timeoutMs: SpanMs,
): Promise<EtcdStatus | null> {
  const endpoints = new Endpoints({ ...options, endpoints: [endpoint], callTimeoutMs: timeoutMs });
  try {
    const { header, version, leader, raftTerm, dbSize } = await endpoints.call(
      ({ maintenance }, call) => maintenance.status({}, call),
      { signal: AbortSignal.timeout(timeoutMs), repeatable: true },
    );
    return {
      endpoint,
      version,
      member: (header?.memberId ?? 0n).toString(16),
      leader: leader.toString(16),
      raftTerm: Number(raftTerm),
      bytes: Number(dbSize),
    };
  } catch {
    // Silent, or a user who may not ask: the caller counts who answers, and the store itself says why.
    return null;
  } finally {
    endpoints.close();
  }
}
