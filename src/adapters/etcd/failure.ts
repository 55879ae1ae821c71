/** What etcd, TLS or the network says, as a failure that people and callers can act on. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { StoreErrorCode } from "../../ports/store.ts";

export interface Failure {
  readonly code: StoreErrorCode;
  readonly retryable: boolean;
  readonly problem: string;
  readonly advice: string;
  /** Nothing was written by this attempt, and nothing will be. */
  readonly certain: boolean;
  /**
   * - `elsewhere`: another endpoint may do better.
   * - `authenticate`: the token is void; a new one is needed.
   * - `give-up`: every endpoint will say the same.
   */
  readonly next: "elsewhere" | "authenticate" | "give-up";
}

export class EtcdFailure extends Error {
  readonly failure: Failure;

  constructor(failure: Failure, cause?: unknown) {
    super(`${failure.problem}; ${failure.advice}`, { cause });
    this.failure = failure;
  }
}

// Texts of etcd's errors: https://github.com/etcd-io/etcd, api/v3rpc/rpctypes/error.go. The gRPC code alone does not
// tell "refused" from "perhaps done".
const byText: readonly (readonly [text: string, failure: Omit<Failure, "problem">])[] = [
  // Sent by the interceptor that reads our `hasleader`, before the request is looked at.
  ["no leader", unreachable("see that a majority of its members runs and reach each other", true)],
  ["too many requests", unreachable("see why it does not keep up (disk latency of its members)", true)],
  [
    "database space exceeded",
    {
      code: "HOLDFAST_STORE_FULL",
      retryable: true,
      advice: "compact and defragment it, then disarm the alarm (etcdctl alarm disarm)",
      certain: true,
      next: "give-up",
    },
  ],
  ["request is too large", refused("raise --max-request-bytes on its members")],
  ["invalid auth token", authenticateAgain()],
  ["revision of auth store is old", authenticateAgain()],
  ["invalid user ID or password", denied("give the right user name and password")],
  [
    "user name is empty",
    denied("it demands authentication: give a user name and password, or a client certificate"),
  ],
  ["authentication is not enabled", denied("it has no authentication enabled: give no user name")],
  ["permission denied", denied("grant the user's role read and write on the prefix holdfast/TOPOLOGY/")],
  [
    "corrupt",
    { ...denied("replace the member that reports it, from a good one"), code: "HOLDFAST_STORE_CORRUPT" },
  ],
];

export function toFailure(error: unknown): Failure {
  if (error instanceof EtcdFailure) return error.failure;
  const text = describe(error);
  if (isTls(error))
    return { ...denied("give the right CA, client certificate and key"), next: "elsewhere", problem: text };
  for (const [known, failure] of byText) if (text.includes(known)) return { ...failure, problem: text };
  if (error instanceof ConnectError && error.code === Code.DeadlineExceeded)
    return {
      ...unreachable("see that the endpoint runs and can be reached", false),
      problem: "an endpoint is silent",
    };
  return { ...unreachable("see that its members run and can be reached", false), problem: text };
}

function unreachable(advice: string, certain: boolean): Omit<Failure, "problem"> {
  return { code: "HOLDFAST_STORE_UNREACHABLE", retryable: true, advice, certain, next: "elsewhere" };
}

function denied(advice: string): Omit<Failure, "problem"> {
  return { code: "HOLDFAST_STORE_DENIED", retryable: false, advice, certain: true, next: "give-up" };
}

function refused(advice: string): Omit<Failure, "problem"> {
  return { code: "HOLDFAST_STORE_REFUSED", retryable: false, advice, certain: true, next: "give-up" };
}

function authenticateAgain(): Omit<Failure, "problem"> {
  return { ...denied("see that its clock and its members agree"), next: "authenticate" };
}

/** Handshakes fail before anything was sent. */
function isTls(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const code = "code" in at ? at.code : undefined;
    if (typeof code === "string" && /^(ERR_SSL_|ERR_TLS_|CERT_|UNABLE_TO_|.*SELF_SIGNED)/.test(code))
      return true;
  }
  return false;
}

function describe(error: unknown): string {
  const texts: string[] = [];
  for (let at: unknown = error; at instanceof Error && texts.length < 3; at = at.cause) {
    const text = at instanceof ConnectError ? at.rawMessage : at.message;
    if (text !== "" && !texts.includes(text)) texts.push(text);
  }
  return texts.length === 0 ? String(error) : texts.join(": ");
}
