/** Makes a member a standby of its upstream, whatever it is now. */
import type { WallMs } from "../../core/model/time.ts";
import type { Divergence, Upstream } from "../../ports/database.ts";
import type { MemberFile } from "./member-file.ts";
import { seedMember } from "./seed.ts";
import type { Server } from "./server.ts";
import { followUpstream, startSealedStandby } from "./standby.ts";

export interface RejoinDeps {
  readonly server: Server;
  readonly file: MemberFile;
  readonly wall: () => WallMs;
}

export async function followChecked(
  server: Server,
  file: MemberFile,
  upstream: Upstream,
  signal: AbortSignal,
): Promise<void> {
  await followUpstream(server, file, upstream, signal);
}

export async function rejoinMember(
  deps: RejoinDeps,
  request: {
    readonly upstream: Upstream;
    readonly maxBytesPerSecond: number;
    readonly onProgress: (text: string) => void;
  },
  signal: AbortSignal,
): Promise<{
  readonly how: "followed" | "started" | "rewound" | "seeded";
  readonly divergence: Divergence | null;
}> {
  const { server, file } = deps;
  await seedMember(server, file, request, signal);
  await startSealedStandby(server, file, 0, signal);
  await followUpstream(server, file, request.upstream, signal);
  return { how: "seeded", divergence: null };
}
