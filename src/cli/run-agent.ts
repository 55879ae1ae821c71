/** The parts of an agent put together: who answers each port, and in which order all of it starts and ends. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  createLogger,
  digest,
  EdgeGate,
  EdgeRouter,
  FencerClient,
  FileJournal,
  HttpProber,
  keepNames,
  loadOrMakeSecrets,
  makeId,
  namesFile,
  openForeignRouter,
  openMember,
  openStore,
  PeersClient,
  prepareForeignRouter,
  signerOf,
  systemClock,
} from "../adapters/adapters.ts";
import { type Agent, startAgent } from "../agent/agent.ts";
import { createApi } from "../agent/api/api.ts";
import { createHandlers } from "../agent/handlers.ts";
import type { Log } from "../agent/log.ts";
import type { AgentParts, MemberParts } from "../agent/parts.ts";
import { createPlanes } from "../agent/planes.ts";
import { createRecorder } from "../agent/record.ts";
import { fencerSocket, hostsOf, membersIn } from "../agent/units.ts";
import { timing } from "../core/machine/timing.ts";
import { HoldfastError } from "../core/model/error-code.ts";
import type { DataStore, ForeignRouter, Member, Topology } from "../core/model/topology.ts";
import { openMembers } from "./open-members.ts";

export interface RunAgentOptions {
  readonly topology: Topology;
  readonly region: string;
  readonly stateDir: string;
  readonly secretsDir: string;
  readonly journalFile: string;
  readonly pgBin: string | undefined;
  readonly pgUser: string | undefined;
  readonly pgSettings: Readonly<Record<string, string>>;
}

export async function runAgent(options: RunAgentOptions): Promise<void> {
  const { topology, region } = options;
  mkdirSync(options.stateDir, { recursive: true });
  const logger = createLogger({ level: "info", pretty: Boolean(process.stderr.isTTY) }).with({
    agent: region,
  });
  const log: Log = (level, text, fields = {}) =>
    logger.log(level === "alarm" ? "error" : level === "warning" ? "warn" : "info", text, fields);
  const secrets = loadOrMakeSecrets(options.secretsDir);
  keepNames(join(options.stateDir, namesFile), hostsOf(topology));
  const store = await openStore(
    topology,
    options.secretsDir,
    timing(topology.profile).storeTimeoutMs,
    region,
  );
  const journal = new FileJournal({ path: options.journalFile });
  const edges = topology.edges.filter((edge) => edge.region === region);
  const routers = (topology.routers ?? []).filter((router) => router.region === region);
  await prepareRouters(topology, routers, log);
  const gateEdge = edges[0];
  const open = async (member: Member): Promise<MemberParts> => {
    const store = topology.dataStores.find((candidate) => candidate.members.includes(member)) as DataStore;
    const database = await openMember({
      topology: topology.name,
      store,
      member,
      secrets: secrets.postgres,
      clock: systemClock,
      binDir: options.pgBin,
      runAs: options.pgUser,
      settings: options.pgSettings,
    });
    const fencer = new FencerClient({ socketPath: fencerSocket({ ...options }, member.name) });
    const gate = gateEdge ? new EdgeGate({ admin: gateEdge.admin, token: secrets.token }) : null;
    return { database, fencer, gate };
  };
  const { members, openLate } = await openMembers(membersIn(topology, region), open, log);
  const parts: AgentParts = {
    clock: systemClock,
    store,
    members,
    planes: createPlanes({
      region,
      clock: systemClock,
      log,
      planes: [
        ...edges.map((edge) => ({
          name: edge.name,
          kind: "edge" as const,
          router: new EdgeRouter({ admin: edge.admin, token: secrets.token }),
        })),
        ...routers.map((router) => ({
          name: router.name,
          kind: router.kind,
          router: openForeignRouter(topology, router, secrets.signingKey),
        })),
      ],
    }),
    peers: new PeersClient({
      agents: Object.fromEntries(topology.regions.map((one) => [one.name, one.agent])),
      token: secrets.token,
    }),
    prober: new HttpProber(),
    journal,
    digest,
    sign: signerOf(secrets.signingKey),
    log,
  };
  const recorder = createRecorder(journal, digest);
  const address = topology.regions.find((one) => one.name === region)?.agent;
  // It listens before it acts: an agent that cannot be asked must not have started a PostgreSQL that nobody watches.
  let agent: Agent | null = null;
  const running = (): Agent => {
    if (agent) return agent;
    throw new HoldfastError("HOLDFAST_REQUEST_UNAVAILABLE", `the agent of ${region} is being started`);
  };
  const api = createApi({
    handlers: createHandlers(
      {
        state: () => running().state(),
        counted: () => running().counted(),
        answerPeer: (question, timeoutMs) => running().answerPeer(question, timeoutMs),
        takeSeal: (notice) => running().takeSeal(notice),
        close: () => running().close(),
      },
      parts,
    ),
    token: secrets.token,
    logger: (text, details) => log("info", text, details),
  });
  if (address) await api.listen(address);
  // Before it says that it is there: whoever reads that may end it at once.
  const askedToEnd = new Promise<void>((resolve) => {
    process.once("SIGTERM", resolve).once("SIGINT", resolve);
  });
  agent = startAgent({
    topology,
    region,
    boot: makeId(),
    parts,
    onStart: recorder.start,
    record: recorder.step,
    onBug: () => process.exit(70),
  });
  process.stdout.write(`${JSON.stringify({ event: "agent-started", pid: process.pid, region, address })}\n`);

  const stopping = new AbortController();
  void openLate(agent.addMember, stopping.signal);
  await askedToEnd;
  stopping.abort();
  await api.close();
  await agent.close();
  await Promise.all([parts.peers.close(), parts.prober.close(), parts.planes.close()]);
  await journal.close();
  await store.close();
  for (const unit of members.values())
    await Promise.all([unit.database.close(), unit.fencer.close(), unit.gate?.close()]);
  await logger.flush(500);
  process.exit(0);
}

/** An agent that cannot write them goes on: its members and edges matter more, and the data plane is told of as it is. */
async function prepareRouters(
  topology: Topology,
  routers: readonly ForeignRouter[],
  log: Log,
): Promise<void> {
  for (const router of routers) {
    try {
      const { path, outcome } = await prepareForeignRouter(topology, router);
      if (outcome === "written")
        log("warning", `${path} is new: start ${router.kind} with it, or reload it once`, {
          router: router.name,
        });
    } catch (error) {
      log("alarm", `cannot prepare ${router.kind} for ${router.name}`, { error: String(error) });
    }
  }
}
