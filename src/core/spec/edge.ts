/** How an edge serves people: the words of it, what they compile to, and back. What is not written is the edge's own default. */
import type { EdgeServing } from "../model/topology.ts";
import { byDefault, choice, list, object, optional, required, type ValueOf } from "./shape.ts";
import { absolutePath, formatAddress } from "./units.ts";

/** Of one upstream: more would be more than it may have connections. */
const limit = (example: number) => ({ kind: "integer", min: 1, max: 100_000, example }) as const;
const file = (example: string) => ({ kind: "path", example }) as const;

export const servingFields = {
  processes: optional(
    { kind: "count", min: 1, max: 64, or: "auto", example: 4 },
    "Processes that serve people, none: 1; `auto`: one a core. Limits are those of the edge, divided among them.",
  ),
  tls: optional(
    object({
      listen: required(
        { kind: "address", example: "10.1.0.8:8443" },
        "Where people's HTTPS requests arrive.",
      ),
      certificates: required(
        list(
          object({
            certFile: required(
              file("tls/orders.crt"),
              "PEM, on the edge's machine: the certificate, its chain behind it.",
            ),
            keyFile: required(file("tls/orders.key"), "PEM: the key that belongs to it."),
          }),
          1,
        ),
        "Chosen by the name that is asked for; the first for who asks for none of them. Read anew when they change.",
      ),
      minVersion: byDefault(choice("TLSv1.2", "TLSv1.3"), "TLSv1.2", "Clients that speak less are refused."),
    }),
    "A second listener, for clients over TLS; none: plain only.",
  ),
  cache: optional(
    { kind: "boolean" },
    "Whether kept answers (`rules.staleMax` of a service above 0) are also served while they are fresh; none: no.",
  ),
  concurrency: optional(
    object({
      least: byDefault(limit(32), "32", "Too high: a service with few workers gets a queue."),
      most: byDefault(limit(512), "512", "Requests at one upstream at once, however fast it answers."),
    }),
    "Bounds of the limit that the edge learns for each upstream.",
  ),
  trustedProxies: optional(
    list(
      {
        kind: "text",
        pattern: "^[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?$",
        fits: "an address or a network",
        example: "10.0.0.0/8",
      },
      1,
    ),
    "Balancers before the edge: their `Forwarded` and `X-Forwarded-*` are believed, anybody else's are replaced.",
  ),
} as const;

const serving = object(servingFields);
type Spec = ValueOf<typeof serving>;

/** Without what is not asked for. */
export function assembleServing(spec: Spec, baseDir: string): EdgeServing {
  const { processes, tls, cache, concurrency, trustedProxies } = spec;
  const certificates = tls?.certificates.map(({ certFile, keyFile }) => ({
    certFile: absolutePath(baseDir, certFile),
    keyFile: absolutePath(baseDir, keyFile),
  }));
  return {
    ...(processes !== null && { processes }),
    ...(tls && certificates && { tls: { ...tls, certificates } }),
    ...(cache !== null && { cache }),
    ...(concurrency && { concurrency }),
    ...(trustedProxies && { trustedProxies }),
  };
}

export function writeServing({ tls, ...rest }: EdgeServing): object {
  return { ...rest, ...(tls && { tls: { ...tls, listen: formatAddress(tls.listen) } }) };
}
