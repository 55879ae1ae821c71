/** Fills a member's data folder with a base backup of its upstream. */
import { rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Upstream } from "../../ports/database.ts";
import { takeBaseBackup } from "./base-backup.ts";
import { syncFolder } from "./durable-file.ts";
import { type MemberFile, newIncarnation } from "./member-file.ts";
import { tellProgress } from "./progress.ts";
import type { Server } from "./server.ts";

export async function seedMember(
  server: Server,
  file: MemberFile,
  request: {
    readonly upstream: Upstream;
    readonly maxBytesPerSecond: number;
    readonly onProgress: (text: string) => void;
  },
  signal: AbortSignal,
): Promise<void> {
  const { conf, secrets, account } = server.place;
  const { dataDir } = server;
  // Beside the data folder, so that it can be renamed; by a name that is never started.
  const making = `${dataDir}.seed`;
  const replaced = `${dataDir}.replaced`;
  await rm(making, { recursive: true, force: true });
  await takeBaseBackup(
    {
      from: {
        address: request.upstream.address,
        password: secrets.replicator,
        database: conf.database,
        timeoutMs: 3000,
      },
      folder: making,
      account,
      maxBytesPerSecond: request.maxBytesPerSecond,
      withManifest: false,
      onProgress: tellProgress(5, (text) =>
        request.onProgress(`seeded ${text} from ${request.upstream.member}`),
      ),
    },
    signal,
  );
  const incarnation = newIncarnation();
  await file.mark(making, incarnation);
  // What is there counts as a copy, and may be read from, until here.
  await server.end(signal);
  await file.update({ unfinished: "seed", sealedBasis: 0, sealedPosition: 0 });
  await rm(replaced, { recursive: true, force: true });
  if (server.hasData()) await rename(dataDir, replaced);
  else await rm(dataDir, { recursive: true, force: true });
  await rename(making, dataDir);
  await syncFolder(dirname(dataDir));
  await file.update({ incarnation, role: "standby", epoch: 0, unfinished: "" });
  await rm(replaced, { recursive: true, force: true });
}
