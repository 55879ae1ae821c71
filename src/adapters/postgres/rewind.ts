/** Takes a diverged member back to where the histories part, with pg_rewind, where that can be done. */
import type { Address } from "../../core/model/topology.ts";
import type { Upstream } from "../../ports/database.ts";
import { openBoundedRelay } from "./bounded-relay.ts";
import { DatabaseError } from "./database-error.ts";
import { syncTree } from "./durable-file.ts";
import type { MemberFile } from "./member-file.ts";
import { runTool } from "./postmaster.ts";
import type { ReplicationConnection } from "./replication.ts";
import type { Server } from "./server.ts";
import { conninfoText, noticesSilence } from "./settings.ts";

/** What pg_rewind is told of its source. */
export function rewindSource({ host, port }: Address, database: string): string {
  return conninfoText({
    host,
    port: String(port),
    user: "replicator",
    dbname: database,
    connect_timeout: "3",
    application_name: "holdfast-rewind",
    ...noticesSilence,
  });
}

/** The server has been shut down in order. Throws DatabaseError: then the folder is not to be started, but seeded anew. */
export async function rewindMember(
  server: Server,
  file: MemberFile,
  request: {
    readonly upstream: Upstream;
    readonly connection: ReplicationConnection;
    /** 0: all there is. */
    readonly maxBytesPerSecond: number;
    readonly onProgress: (text: string) => void;
  },
  signal: AbortSignal,
): Promise<void> {
  const { binaries, account, conf, stateDir } = server.place;
  const { upstream, maxBytesPerSecond } = request;
  const { incarnation } = file.memory;
  if (binaries.pgRewind === null || incarnation === null)
    throw new DatabaseError("HOLDFAST_PG_TOOL", `there is no pg_rewind in ${binaries.binDir}`);
  // Until its first checkpoint after the promotion the source's control file names the timeline before, and pg_rewind
  // would find nothing to do.
  await request.connection.sql("CHECKPOINT");
  await file.update({ unfinished: "rewind", sealedBasis: 0, sealedPosition: 0 });
  // It takes all that the link gives, and with it the leases of those who share the link.
  const relay = maxBytesPerSecond > 0 ? await openBoundedRelay(upstream.address, maxBytesPerSecond) : null;
  const source = rewindSource(relay?.address ?? upstream.address, conf.database);
  let said: string;
  try {
    said = await runTool({
      binaries,
      account,
      program: binaries.pgRewind,
      args: ["-D", server.dataDir, `--source-server=${source}`, "--no-ensure-shutdown", "--no-sync"],
      cwd: stateDir,
      environment: { PGPASSFILE: server.passFile },
      onLine: request.onProgress,
      signal,
    });
  } finally {
    await relay?.close();
  }
  if (/no rewind required/.test(said))
    throw new DatabaseError(
      "HOLDFAST_PG_TOOL",
      "pg_rewind saw nothing to rewind, although the histories part",
    );
  await syncTree(server.dataDir, signal);
  await file.mark(server.dataDir, incarnation);
  await file.update({ unfinished: "" });
}
