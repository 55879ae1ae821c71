/** What an agent says when it cannot start: what, where, and what to do; no stack, no process, nothing lost. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { findFreePorts } from "../../src/adapters/system/free-port.ts";
import { composeTopology } from "../../src/core/spec/compose.ts";
import { holdfast, type Run } from "./run.ts";

interface Place {
  readonly folder: string;
  readonly topologyFile: string;
  readonly agentPort: number;
  readonly edgePort: number;
  readonly dataDir: string;
  agent(...more: readonly string[]): Promise<Run>;
}

/** A topology of one region that nobody runs, in a folder of its own. */
async function place(t: TestContext, name = "shop"): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-bad-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  // PostgreSQL is looked at as another user when we are root.
  chmodSync(folder, 0o755);
  const [agentPort, port, gatePort, httpPort, adminPort, tcpPort, servicePort] = (await findFreePorts(7)) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const topologyFile = join(folder, "holdfast.yaml");
  const dataDir = join(folder, "pg-one");
  const text = composeTopology({
    name,
    profile: "fast",
    store: { kind: "embedded", path: join(folder, "control", "store.db") },
    objectives: { availability: 0.99, rtoMs: 10_000, rpoMs: 0 },
    rules: { holdMaxMs: 5000, tryTimeoutMs: 1000 },
    demandRps: 1,
    journey: [{ method: "GET", path: "/", headers: {}, body: null, expectStatus: 200 }],
    comment: "",
    regions: [
      {
        name: "one",
        jurisdiction: "eu",
        role: "active",
        failureDomains: {},
        capacityRps: 10,
        agentPort,
        member: { name: "pg-one", port, gatePort, dataDir },
        servicePort,
        edge: { name: "edge-one", httpPort, adminPort, tcpPort, stateDir: join(folder, "edge") },
      },
    ],
  });
  writeFileSync(topologyFile, text);
  const folders = ["--state-dir", join(folder, "state"), "--secrets-dir", join(folder, "secrets")];
  return {
    folder,
    topologyFile,
    agentPort,
    edgePort: httpPort,
    dataDir,
    // Of two that are the same the last one counts.
    agent: (...more) =>
      holdfast(["agent", "--topology", topologyFile, "--region", "one", ...folders, ...more]),
  };
}

function complains(run: Run, code: number, ...patterns: readonly RegExp[]): void {
  assert.equal(run.code, code, run.stderr);
  assert.equal(run.stdout, "");
  for (const pattern of patterns) assert.match(run.stderr, pattern);
  assert.doesNotMatch(run.stderr, /^\s+at |node:internal|\[cause\]/m, "a stack is for bugs");
}

test("an agent with a broken topology tells every problem and where it stands", async (t) => {
  const { topologyFile, agent, dataDir } = await place(t);
  const text = readFileSync(topologyFile, "utf8");
  writeFileSync(
    topologyFile,
    text.replace("leaseProfile: fast", "leaseProfil: fast").replace("role: active", "role: actve"),
  );
  const run = await agent();
  complains(run, 3, /leaseProfil/, /holdfast\.yaml:\d+:\d+/, /leaseProfile/, /2 problems|role/);
  assert.equal(existsSync(dataDir), false);
});

test("an agent of a region that is not there names those that are", async (t) => {
  const { agent } = await place(t);
  complains(await agent("--region", "two"), 3, /no region two/, /there is: one/);
});

test("an agent whose port is taken names it, and has not started PostgreSQL", async (t) => {
  const { agent, agentPort, dataDir } = await place(t);
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(agentPort, "127.0.0.1", resolve));
  try {
    complains(
      await agent(),
      1,
      /HOLDFAST_ADDRESS_UNUSABLE/,
      new RegExp(`127\\.0\\.0\\.1:${agentPort}`),
      /help/,
    );
    assert.equal(existsSync(dataDir), false);
  } finally {
    await new Promise((resolve) => other.close(resolve));
  }
});

test("an edge whose port is taken names it", async (t) => {
  const { folder, topologyFile, edgePort } = await place(t);
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(edgePort, "127.0.0.1", resolve));
  try {
    const run = await holdfast([
      "edge",
      "run",
      "--topology",
      topologyFile,
      "--region",
      "one",
      "--state-dir",
      join(folder, "state"),
      "--secrets-dir",
      join(folder, "secrets"),
    ]);
    complains(run, 1, new RegExp(`127\\.0\\.0\\.1:${edgePort}`));
  } finally {
    await new Promise((resolve) => other.close(resolve));
  }
});

test("an agent without PostgreSQL says where it has looked and what would do", async (t) => {
  const { agent } = await place(t);
  complains(await agent("--pg-bin", "/nonexistent"), 1, /HOLDFAST_PG_NOT_FOUND/, /\/nonexistent/, /15 to 18/);
});

test("an agent does not touch the data folder of another topology", async (t) => {
  const { agent, dataDir } = await place(t);
  mkdirSync(dataDir, { mode: 0o700 });
  writeFileSync(join(dataDir, "PG_VERSION"), "18\n");
  const before = readFileSync(join(dataDir, "PG_VERSION"), "utf8");
  complains(await agent(), 1, /HOLDFAST_PG_(FOREIGN_DATA|FOLDER)/, /pg-one/);
  assert.equal(readFileSync(join(dataDir, "PG_VERSION"), "utf8"), before);
});

test("an agent whose state folder is a file says so", async (t) => {
  const { agent, folder } = await place(t);
  writeFileSync(join(folder, "file"), "");
  complains(await agent("--state-dir", join(folder, "file")), 1, /cannot mkdir .*file/, /help/);
});

test("an agent that cannot write its folders for want of room or right says which", async (t) => {
  const { agent, folder } = await place(t);
  if (process.getuid?.() !== 0) {
    mkdirSync(join(folder, "closed"), { mode: 0o500 });
    return complains(
      await agent("--secrets-dir", join(folder, "closed", "secrets")),
      1,
      /closed/,
      /permission/,
    );
  }
  for (const [options, words] of [
    ["size=4k,nr_inodes=2", /space|ENOSPC|room/i],
    ["size=1m", /read-only/],
  ] as const) {
    const mount = join(folder, `disk-${options.length}`);
    mkdirSync(mount);
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", mount]);
    try {
      mkdirSync(join(mount, "secrets"));
      if (words.source === "read-only") execFileSync("mount", ["-o", "remount,ro", mount]);
      complains(await agent("--secrets-dir", join(mount, "secrets")), 1, words, new RegExp(mount));
    } finally {
      execFileSync("umount", ["-l", mount]);
    }
  }
});
