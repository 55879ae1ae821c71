/** Makes the first primary of an empty data store: initdb, start, roles, database, canary. */
import { rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Epoch, Incarnation } from "../../core/model/id.ts";
import { canarySchema, quoteIdentifier, quoteText, writeCanary } from "./canary.ts";
import { DatabaseError } from "./database-error.ts";
import { makePrivateFolder, syncFolder, writeDurable } from "./durable-file.ts";
import { type MemberFile, newIncarnation } from "./member-file.ts";
import { runTool } from "./postmaster.ts";
import type { Server } from "./server.ts";
import { frozenNames } from "./settings.ts";

export async function initializeMember(
  server: Server,
  file: MemberFile,
  epoch: Epoch,
  signal: AbortSignal,
): Promise<Incarnation> {
  const { binaries, account, conf, secrets, stateDir } = server.place;
  const { dataDir } = server;
  if (epoch < file.memory.floor)
    throw new DatabaseError(
      "HOLDFAST_PG_EPOCH",
      `cannot initialize ${conf.member.name} in epoch ${epoch}: its floor is ${file.memory.floor}`,
    );
  const making = `${dataDir}.init`;
  await rm(making, { recursive: true, force: true });
  // Ours to make: the account may not write into the parent.
  await makePrivateFolder(making, account);
  const passwordFile = join(stateDir, "initdb.password");
  await writeDurable(passwordFile, `${secrets.admin}\n`, account);
  try {
    const args = [
      "-D",
      making,
      "-U",
      "holdfast",
      "--pwfile",
      passwordFile,
      "-A",
      "scram-sha-256",
      "-E",
      "UTF8",
    ];
    // The C locale: collations of the operating system differ between hosts, and a standby's indexes with them.
    await runTool({
      binaries,
      account,
      program: binaries.initdb,
      // A promotion copies the segment that it begins in, and syncs it: of 16 MB that took 80 ms of a planned change, of
      // 4 MB 30, of 1 MB no less (medians of five).
      args: [...args, "--no-locale", "--data-checksums", "--no-instructions", "--wal-segsize=4"],
      cwd: stateDir,
      signal,
    });
  } finally {
    await rm(passwordFile, { force: true });
  }
  const incarnation = newIncarnation();
  await file.mark(making, incarnation);
  await file.update({ unfinished: "initialize", floor: epoch, sealedBasis: 0, sealedPosition: 0 });
  await rm(dataDir, { recursive: true, force: true });
  await rename(making, dataDir);
  await syncFolder(dirname(dataDir));
  await server.prepare({ role: "primary", conninfo: "", syncNames: frozenNames });
  await server.start(signal);
  await createRoles(server);
  await writeCanary(server, epoch, conf.member.name);
  await file.update({
    incarnation,
    role: "primary",
    epoch,
    quorum: { epoch, acknowledgements: 0, standbys: [] },
    unfinished: "",
  });
  return incarnation;
}

async function createRoles(server: Server): Promise<void> {
  const { conf, secrets } = server.place;
  const app = quoteIdentifier(conf.appRole);
  const database = quoteIdentifier(conf.database);
  const first = server.openSession("holdfast-initialize", "postgres");
  try {
    const statements = [
      `create role replicator login replication password ${quoteText(secrets.replicator)}`,
      // A checkpoint of the source after its promotion, without which pg_rewind sees the timeline before.
      "grant pg_checkpoint to replicator",
      `create role ${app} login password ${quoteText(secrets.app)}`,
      `create database ${database} template template0 encoding 'UTF8'`,
    ];
    for (const statement of statements) await first.query(statement, [], 30_000);
  } finally {
    first.close();
  }
  await server.query(
    `revoke all on database ${database} from public;
     grant connect, create, temporary on database ${database} to ${app};
     grant connect on database ${database} to replicator;
     grant usage, create on schema public to ${app};
     -- A cancelled wait for synchronous replication is told to the client as a success (FACTS).
     revoke execute on function pg_cancel_backend(integer) from public;
     revoke execute on function pg_terminate_backend(integer, bigint) from public;
     -- What pg_rewind asks of its source.
     grant execute on function pg_ls_dir(text, boolean, boolean) to replicator;
     grant execute on function pg_stat_file(text, boolean) to replicator;
     grant execute on function pg_read_binary_file(text) to replicator;
     grant execute on function pg_read_binary_file(text, bigint, bigint, boolean) to replicator;
     ${canarySchema(app)}`,
  );
}
