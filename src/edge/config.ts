/** The configuration of one edge process: a JSON file in, checked values out, with errors that name the field. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { concurrencyRules } from "../core/traffic/concurrency.ts";
import { isNetwork } from "./client-peer.ts";
import { ConfigError } from "./config-error.ts";

/** 64: what they tell the first of themselves each second stays small beside what they do. */
export const processesMax = 64;

const address = z.strictObject({ host: z.string().min(1), port: z.number().int().min(0).max(65535) });

/** See `ClientLimits`. */
const clientLimits = z.strictObject({
  headWithinMs: z.number().positive().default(20_000),
  bodyWithinMs: z.number().positive().default(300_000),
  idleForMs: z.number().positive().default(65_000),
  takenWithinMs: z.number().positive().default(60_000),
  quietForMs: z.number().positive().default(3_600_000),
});

const tls = z.strictObject({
  listen: address,
  /** See `CertificateOptions`. */
  certificates: z
    .array(z.strictObject({ certFile: z.string().min(1), keyFile: z.string().min(1) }))
    .min(1)
    .readonly(),
  minVersion: z.enum(["TLSv1.2", "TLSv1.3"]).default("TLSv1.2"),
  /** How often the files are looked at; SIGHUP looks at once. */
  reloadEveryMs: z.number().min(100).default(10_000),
});

/** See `Http2Limits` and `ListenerOptions`. */
const http2 = z.strictObject({
  tls: z.boolean().default(true),
  cleartext: z.boolean().default(false),
  streamsMax: z.number().int().positive().default(100),
  resetBurst: z.number().int().positive().default(200),
  resetsPerSecond: z.number().int().positive().default(33),
});

const accessLog = z.strictObject({
  file: z.string().min(1),
  query: z.boolean().default(false),
  bufferMaxBytes: z
    .number()
    .int()
    .min(64 * 1024)
    .default(4 * 1024 * 1024),
});

const network = z.string().refine(isNetwork, "neither an address nor a network such as 10.0.0.0/8");

const edgeConfig = z.strictObject({
  name: z.string().min(1),
  region: z.string().min(1),
  /** That serve people; `auto`: one a core. */
  processes: z.union([z.literal("auto"), z.number().int().min(1).max(processesMax)]).default(1),
  http: address,
  admin: address,
  /** Data store -> where its clients connect. */
  tcp: z.record(z.string(), address).default({}),
  gates: z
    .array(
      z.strictObject({
        member: z.string().min(1),
        dataStore: z.string().nullable().default(null),
        listen: address,
        target: address,
      }),
    )
    .default([]),
  stateDir: z.string().min(1),
  /** Hosts that it may have to reach: their addresses are looked up at the start, and kept. */
  names: z.array(z.string().min(1)).default([]),
  /** Key id -> Ed25519 public key (SPKI, DER, base64). */
  keys: z.record(z.string(), z.string()),
  adminToken: z.string().min(16).optional(),
  /** Read once at start; white space around the token is ignored. */
  adminTokenFile: z.string().optional(),
  /** How long a TCP client waits for a writer. Shorter: it sees the failover; longer: pools pile up. */
  tcpHoldMaxMs: z.number().positive().default(15_000),
  limits: clientLimits.prefault({}),
  /** Clients over TLS; without it the plain listener is the only one. */
  tls: tls.optional(),
  http2: http2.prefault({}),
  /** Open at once, idle ones too; beyond it they are refused. What each costs: docs/reference/edge.md. */
  connectionsMax: z.number().int().positive().default(20_000),
  /** Open at once; beyond it they are refused. */
  webSocketsMax: z.number().int().nonnegative().default(10_000),
  /** Balancers of ours: their `Forwarded` and `X-Forwarded-*` are believed, anybody else's are replaced. */
  trustedProxies: z.array(network).default([]),
  /** What becomes of a request without `traceparent`. */
  traceparent: z.enum(["pass", "begin"]).default("pass"),
  accessLog: accessLog.optional(),
  /** Whether kept answers (`staleMaxMs` of a service above 0) are also served while they are fresh: a shared cache. */
  cache: z.boolean().default(false),
  /** Bounds of what is learnt (`core/traffic/concurrency`). `least` too high: a small pool of workers gets a queue. */
  concurrency: z
    .strictObject({
      least: z.number().int().min(1).default(concurrencyRules.least),
      most: z.number().int().min(1).default(concurrencyRules.most),
    })
    .refine(({ least, most }) => least <= most, "least is above most")
    .prefault({}),
  /** How long in-flight requests may take at the end. */
  graceMs: z.number().nonnegative().default(5000),
  /** The same when a region is drained: for its edges' clients, and for what others have under way there. */
  drainMs: z.number().positive().default(30_000),
});

export type EdgeConfig = Omit<z.infer<typeof edgeConfig>, "adminToken" | "adminTokenFile"> & {
  readonly adminToken: string;
};

export function readConfig(path: string): EdgeConfig {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new ConfigError(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  const parsed = edgeConfig.safeParse(value);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(
      (issue) => `${issue.path.join(".") || "file"}: ${issue.message}`,
    );
    throw new ConfigError(`${path} does not fit: ${problems.join("; ")}`);
  }
  const { adminToken, adminTokenFile, ...rest } = parsed.data;
  return { ...rest, adminToken: adminToken ?? readToken(path, adminTokenFile) };
}

function readToken(path: string, file: string | undefined): string {
  if (file === undefined) throw new ConfigError(`${path} has neither adminToken nor adminTokenFile`);
  let token: string;
  try {
    token = readFileSync(file, "utf8").trim();
  } catch (error) {
    throw new ConfigError(`cannot read the admin token: ${(error as Error).message}`, { cause: error });
  }
  if (token.length < 16) throw new ConfigError(`the admin token in ${file} has less than 16 characters`);
  return token;
}
