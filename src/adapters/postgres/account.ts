/** The unprivileged user that PostgreSQL runs as, since it refuses to run as root. */
import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { DatabaseError } from "./database-error.ts";

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** True when we are root and change to it; false when we are it already. */
  readonly switches: boolean;
}

/** As root: `wanted`, else `postgres`, else `nobody`. Otherwise ourselves, and `wanted` must be us. */
export function findAccount(wanted: string | undefined, passwd = readPasswd()): Account {
  const uid = process.getuid?.() ?? -1;
  if (uid !== 0) {
    const own = passwd.find((each) => each.uid === uid);
    if (wanted !== undefined && wanted !== own?.name)
      throw new DatabaseError(
        "HOLDFAST_PG_USER",
        `cannot run PostgreSQL as ${wanted}: only root may change its user, and this process is ${own?.name ?? uid}`,
      );
    return { name: own?.name ?? String(uid), uid, gid: process.getgid?.() ?? -1, switches: false };
  }
  for (const name of wanted === undefined ? ["postgres", "nobody"] : [wanted]) {
    const found = passwd.find((each) => each.name === name);
    if (found && found.uid !== 0) return { ...found, switches: true };
  }
  throw new DatabaseError(
    "HOLDFAST_PG_USER",
    `PostgreSQL refuses to run as root, and there is no unprivileged user ${wanted ?? "postgres or nobody"}; create one ("useradd --system postgres") or name another with runAs`,
  );
}

function readPasswd(): readonly { readonly name: string; readonly uid: number; readonly gid: number }[] {
  let text: string;
  try {
    text = readFileSync("/etc/passwd", "utf8");
  } catch {
    return [];
  }
  return text.split("\n").flatMap((line) => {
    const [name, , uid, gid] = line.split(":");
    return name ? [{ name, uid: Number(uid), gid: Number(gid) }] : [];
  });
}

/** The first parent of `path` that the account cannot walk through; null when it can reach `path`. */
export function findBarrier(path: string, account: Account): string | null {
  if (!account.switches) return null;
  const parents: string[] = [];
  for (let at = dirname(resolve(path)); ; at = dirname(at)) {
    parents.unshift(at);
    if (at === dirname(at)) break;
  }
  for (const folder of parents) {
    let stat: ReturnType<typeof statSync>;
    try {
      stat = statSync(folder);
    } catch {
      // It does not exist yet: whoever makes it decides.
      return null;
    }
    const bit = stat.uid === account.uid ? 0o100 : stat.gid === account.gid ? 0o010 : 0o001;
    if ((stat.mode & bit) === 0) return folder;
  }
  return null;
}
