/**
 * `npm run bench:gate`: what the way through edge and gate costs a transaction, beside plain PostgreSQL.
 *
 *     npm run bench:gate -- --delay 40 --seconds 8 --rounds 5 --json FILE
 *
 * Needs Linux, root, pgbench, and what `holdfast lab` needs. Three regions with `--delay` milliseconds each way between
 * them; pgbench runs in the region of the primary, in turn straight at its PostgreSQL and through edge and gate: the same
 * server with the same synchronous standbys. Exits 1 when less than 0.9 of the transactions a second get through.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { sha256 } from "../src/cli/topology-file.ts";
import { compileTopology } from "../src/core/spec/spec.ts";
import { startLab } from "../src/lab/net/lab.ts";
import { benchFlags, numberFlag } from "./parts/flags.ts";
import { median } from "./parts/median.ts";
import { writeResults } from "./parts/results.ts";

const values = benchFlags(import.meta.url, {
  delay: { type: "string", default: "40" },
  seconds: { type: "string", default: "8" },
  rounds: { type: "string", default: "5" },
  clients: { type: "string", default: "1,16" },
  json: { type: "string" },
});
const delay = numberFlag("delay", values.delay, 0);
const rounds = numberFlag("rounds", values.rounds);
const seconds = numberFlag("seconds", values.seconds);
const clientCounts = values.clients.split(",").map((count) => numberFlag("clients", count));
const target = 0.9;

interface Measured {
  readonly transactionsPerSecond: number;
  readonly latencyMs: number;
}

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
const lab = await startLab({
  topology: { profile: "balanced", witness: false, replication: "synchronous", rpo: 1000 },
  links: { delay, jitter: 0, lossPercent: 0, rateMbit: 0 },
  disks: null,
  withClocks: false,
  withNames: false,
  rtoMs: 60_000,
  say: (text) => console.error(text),
  compile(text, file) {
    const compiled = compileTopology({ text, file, baseDir: "/" }, sha256);
    if (compiled.kind === "invalid")
      throw new Error(compiled.problems.map(({ message }) => message).join("; "));
    return compiled.topology;
  },
  signal: stop.signal,
});
try {
  const holder = lab.observer.seen.leases.get("orders-db")?.holder;
  const region = lab.world.layout.regions.find(({ member }) => member?.name === holder);
  const place = lab.network.regions.find(({ name }) => name === region?.name);
  if (!region || !place) throw new Error(`no region has the primary ${holder}`);
  const urls = {
    plain: lab.world.databaseUrl(region.ports.postgres, region.host),
    gate: lab.world.databaseUrl(region.ports.edgeTcp, region.host),
  };
  const pgbench = async (url: string, ...args: string[]) => {
    const [command = "", ...prefix] = place.prefix;
    const { stdout } = await promisify(execFile)(command, [...prefix, "pgbench", ...args, url], {
      signal: stop.signal,
    });
    return stdout;
  };
  await pgbench(urls.plain, "--initialize", "--quiet", "--scale=1");
  const rows = [];
  for (const clients of clientCounts) {
    const measured: Record<keyof typeof urls, Measured[]> = { plain: [], gate: [] };
    for (let round = 0; round < rounds; round++)
      for (const way of ["plain", "gate"] as const) {
        const said = await pgbench(
          urls[way],
          "--no-vacuum",
          "--builtin=simple-update",
          "--protocol=prepared",
          `--client=${clients}`,
          `--time=${seconds}`,
        );
        measured[way].push({
          transactionsPerSecond: Number(/^tps = ([\d.]+)/m.exec(said)?.[1]),
          latencyMs: Number(/^latency average = ([\d.]+) ms/m.exec(said)?.[1]),
        });
      }
    const of = (way: keyof typeof urls, what: keyof Measured) =>
      median(measured[way].map((one) => one[what]));
    const ratio = of("gate", "transactionsPerSecond") / of("plain", "transactionsPerSecond");
    rows.push({
      clients,
      plainPerSecond: of("plain", "transactionsPerSecond"),
      gatePerSecond: of("gate", "transactionsPerSecond"),
      ratio: Number(ratio.toFixed(3)),
      plainLatencyMs: of("plain", "latencyMs"),
      gateLatencyMs: of("gate", "latencyMs"),
      target: ratio >= target ? `>= ${target} met` : `>= ${target} MISSED`,
    });
    if (!(ratio >= target)) process.exitCode = 1;
  }
  console.log(`${delay} ms each way between the regions; medians of ${rounds} rounds of ${seconds} s`);
  console.table(rows);
  writeResults(values.json, { delay, rows });
} finally {
  await lab.close();
}
process.exit();
