/** Who answers the ports: the one list. Only the command line and the lab choose from it. */
import { createPublicKey } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { RegionName } from "../core/model/id.ts";
import { etcdAttemptMs } from "../core/model/profile.ts";
import type { RoutingTable, SignedTable } from "../core/model/routing.ts";
import type { ForeignRouter, Topology } from "../core/model/topology.ts";
import { accept } from "../core/traffic/accept.ts";
import { canonicalJson } from "../core/traffic/canonical.ts";
import { orderTargets } from "../core/traffic/choose.ts";
import type { Router } from "../ports/router.ts";
import type { Store } from "../ports/store.ts";
import { inTurn } from "./etcd/choice.ts";
import { type EtcdStoreOptions, openEtcdStore } from "./etcd/etcd.ts";
import { askEtcdStatus, type EtcdStatus } from "./etcd/status.ts";
import { HaproxyRouter } from "./haproxy/haproxy-router.ts";
import { configPathOf, layoutFor, prepareFiles } from "./haproxy/prepare.ts";
import { refuseIfMoved } from "./migration/mark.ts";
import { openSqliteStore } from "./sqlite/sqlite.ts";
import { readFileIfAny, replaceFile } from "./system/atomic-file.ts";
import { digest } from "./system/digest.ts";
import { loadOrMakeSigningKey, type SigningKey, verifyingKeys } from "./system/keys.ts";
import { makeId } from "./system/random.ts";
import { loadOrMakeToken } from "./system/token.ts";

export { EdgeGate } from "./edge/edge-gate.ts";
export { EdgeRouter } from "./edge/edge-router.ts";
export { FencerClient } from "./fencer/fencer-client.ts";
export { fencerArguments, fencerEnvironment } from "./fencer/fencer-command.ts";
export { AgentClient } from "./http/agent-client.ts";
export { PeersClient } from "./http/peers-client.ts";
export { HttpProber } from "./http/prober.ts";
export { migrate, undo } from "./migration/migrate.ts";
export { findAccount } from "./postgres/account.ts";
export { testBackup } from "./postgres/backup/restore-test.ts";
export { findBackup, listBackups } from "./postgres/backup/shelf.ts";
export { pruneBackups, takeBackup } from "./postgres/backup/take.ts";
export { discover } from "./postgres/binaries.ts";
export { isDiskFailure, openMember } from "./postgres/postgres.ts";
export { endTree, findTree } from "./postgres/process-tree.ts";
export { sightAgent } from "./survey/clock.ts";
export { lookAtParts, nearestFolder, timeFsync } from "./survey/host.ts";
export { timeCommits, timeReads } from "./survey/store.ts";
export { systemClock } from "./system/clock.ts";
export { findFreePorts } from "./system/free-port.ts";
export { FileJournal } from "./system/journal.ts";
export { createLogger } from "./system/logger.ts";
export { keepNames, namesFile } from "./system/names.ts";
export { isSameToken } from "./system/token.ts";
export { digest, makeId };

export interface Secrets {
  /** Bearer token between agents, edges and the command line. */
  readonly token: string;
  readonly signingKey: SigningKey;
  /** Key id -> public key (SPKI, DER, base64). */
  readonly publicKeys: Readonly<Record<string, string>>;
  readonly postgres: { readonly admin: string; readonly replicator: string; readonly app: string };
}

/** Made at the first start of the first region; the folder is then given to the others. */
export function loadOrMakeSecrets(folder: string): Secrets {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const signingKey = loadOrMakeSigningKey(folder);
  const spki = createPublicKey(signingKey.publicKey)
    .export({ type: "spki", format: "der" })
    .toString("base64");
  return {
    token: loadOrMakeToken(join(folder, "token")),
    signingKey,
    publicKeys: { [signingKey.keyId]: spki },
    postgres: loadOrMakePasswords(join(folder, "postgres.json")),
  };
}

/** For who copies from members: only agents make secrets. */
export function readReplicatorPassword(folder: string): string {
  const text = readFileSync(join(folder, "postgres.json"), "utf8");
  return (JSON.parse(text) as Secrets["postgres"]).replicator;
}

export function signerOf(key: SigningKey): (table: RoutingTable) => SignedTable {
  return (table) => ({ table, keyId: key.keyId, signature: key.sign(canonicalJson(table)) });
}

/** Whom the agent of its region tells of tables. */
export function openForeignRouter(topology: Topology, router: ForeignRouter, key: SigningKey): Router {
  const keys = verifyingKeys([key.publicKey]);
  switch (router.kind) {
    case "haproxy":
      return new HaproxyRouter(layoutFor(topology, router), {
        verify: ({ table, keyId, signature }) =>
          keys.verify(canonicalJson(table), keyId, signature)
            ? ""
            : `the signature by ${keyId} does not fit the table`,
        accept: (current, next) => accept(current, next, digest),
        order: (table, { targets, allow }) =>
          orderTargets({ table, targets, allow, ownRegion: router.region, isEjected: () => false }),
      });
    default:
      return router.kind satisfies never;
  }
}

/** What it is started with; `written`: it is new, and one that runs must be reloaded once to have its slots. */
export async function prepareForeignRouter(
  topology: Topology,
  router: ForeignRouter,
): Promise<{ readonly path: string; readonly outcome: "written" | "unchanged" }> {
  switch (router.kind) {
    case "haproxy": {
      const layout = layoutFor(topology, router);
      return { outcome: await prepareFiles(layout), path: configPathOf(layout) };
    }
    default:
      return router.kind satisfies never;
  }
}

/** Rejects with HOLDFAST_STORE_MOVED where the topology's records have left, or are not all there. */
export async function openStore(
  topology: Topology,
  secretsDir: string,
  callTimeoutMs: number,
  region?: RegionName,
): Promise<Store> {
  const store = await openMarkedStore(topology, secretsDir, callTimeoutMs, region);
  try {
    await refuseIfMoved(store, placeOf(topology.store), AbortSignal.timeout(openTimeoutMs));
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** As long as the stores themselves try to begin. */
const openTimeoutMs = 5000;

/** For people, and to know a store again: `etcd at http://a:2379, http://b:2379`. */
export function placeOf(store: Topology["store"]): string {
  return store.kind === "embedded" ? store.path : `etcd at ${[...store.endpoints].sort().join(", ")}`;
}

/**
 * Also one that its records have left: for who moves them. `secretsDir`: for etcd, where `etcd-ca.pem`, `etcd-cert.pem`,
 * `etcd-key.pem` and `etcd-user.json` ({user, password}) are looked for; what is missing is not used. `callTimeoutMs`: what
 * the caller gives one call. `region`: whose agent asks; of endpoints that are equally near each begins with another.
 */
export function openMarkedStore(
  { name, store, regions }: Topology,
  secretsDir: string,
  callTimeoutMs: number,
  region?: RegionName,
): Promise<Store> {
  const index = regions.findIndex((each) => each.name === region);
  switch (store.kind) {
    case "embedded":
      mkdirSync(join(store.path, ".."), { recursive: true });
      return openSqliteStore({ path: store.path, topology: name });
    case "etcd":
      return openEtcdStore({
        endpoints: inTurn(store.endpoints, Math.max(0, index)),
        topology: name,
        ...etcdAccess(secretsDir),
        callTimeoutMs: etcdAttemptMs(callTimeoutMs),
      });
    default:
      return store satisfies never;
  }
}

/** Of each endpoint; null: no answer. */
export function askEtcd(
  endpoints: readonly string[],
  secretsDir: string,
  timeoutMs: number,
): Promise<readonly (EtcdStatus | null)[]> {
  const options = { endpoints, callTimeoutMs: timeoutMs, ...etcdAccess(secretsDir) };
  return Promise.all(endpoints.map((endpoint) => askEtcdStatus(options, endpoint, timeoutMs)));
}

function etcdAccess(folder: string): Pick<EtcdStoreOptions, "tls" | "credentials"> {
  const read = (name: string) => readFileIfAny(join(folder, name)) ?? undefined;
  const [ca, certificate, key] = [read("etcd-ca.pem"), read("etcd-cert.pem"), read("etcd-key.pem")];
  const user = read("etcd-user.json");
  return {
    ...(ca || certificate || key
      ? { tls: { ...(ca && { ca }), ...(certificate && { certificate }), ...(key && { key }) } }
      : {}),
    ...(user ? { credentials: JSON.parse(user) as { user: string; password: string } } : {}),
  };
}

function loadOrMakePasswords(path: string): Secrets["postgres"] {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Secrets["postgres"];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const made = { admin: makeId() + makeId(), replicator: makeId() + makeId(), app: makeId() + makeId() };
  replaceFile(path, `${JSON.stringify(made)}\n`);
  return made;
}
