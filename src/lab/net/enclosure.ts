/**
 * The lab of somebody who is not root: in user, network and mount namespaces of its own, where they may do what root may.
 *
 * - E1. Nothing of it is in the machine: links, names of namespaces and mounts end with the last process in it.
 * - E2. What runs in its regions does so as the person and may nothing: PostgreSQL refuses to be run by a root, even of these.
 * - E3. Who is in it is told by the /run that it sees, never by an id: those of processes and of namespaces are given anew.
 * - E4. The lab keeps its process id, so whoever would signal, look at or enter it from outside needs no other.
 */
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { signalTo } from "../signal.ts";
import type { LabState } from "../state-file.ts";
import { findTool, pathOfTools, tryTool } from "./tool.ts";

/** What its /run says. */
export interface Enclosure {
  readonly id: string;
  /** Of the lab: the one process that came in when it was made. */
  readonly pid: number;
  /** Of the person outside; inside it is 0, or in a region the same again. */
  readonly uid: number;
}

const marker = "/run/holdfast-enclosure.json";
const plainUser = "/run/holdfast-plain-user";

/** Put before a command that is to run as the person again, without any power (E2). It becomes the command. */
export const asPlainUser: readonly string[] = ["nsenter", `--user=${plainUser}`, "--preserve-credentials"];

/** What the machine has in /run stays to be seen there: /etc/resolv.conf is a link to it on many. */
const furnish = `
set -e
id=$1 uid=$2 gid=$3 here=$4
shift 4
# Made in /tmp, and moved away from it: in /run it would be bound together with it.
mount -t tmpfs -o mode=755 holdfast /tmp
mkdir /tmp/machine /tmp/mount /tmp/netns
mount --rbind /run /tmp/machine
for each in /tmp/machine/*; do
  name=\${each##*/}
  [ -e "/tmp/$name" ] || ln -s "machine/$name" "/tmp/$name"
done
mount --no-mtab --move /tmp /run
printf '{"id":"%s","pid":%s,"uid":%s}' "$id" "$$" "$uid" >${marker}
ip link set lo up
: >${plainUser}
mkfifo /run/turn
{
  unshare --user --map-user="$uid" --map-group="$gid" sh -c 'echo $$ >/run/turn; read -r _ </run/turn' ||
    echo >/run/turn
} &
read -r pid </run/turn
mount --bind "/proc/$pid/ns/user" ${plainUser}
echo >/run/turn
wait
rm /run/turn
cd "$here"
exec "$@"`;

/** Everything that a lab asks of the kernel, in small. */
const probe = "ip link add probe type bridge && nft add table inet probe && ip netns add probe";

/** null: this process is in none. */
export function ownEnclosure(): Enclosure | null {
  return readMarker(marker);
}

/** The person whose processes these are, also where they are root of an enclosure. */
export function ownUserId(): number {
  return ownEnclosure()?.uid ?? process.geteuid?.() ?? 0;
}

/** null: it can be made. Else why not, and what to do. */
export function whyNoEnclosure(): string | null {
  const [command = "", ...args] = enclosing(["sh", "-c", probe]);
  const told = tryTool(command, args, { env: environment() });
  return told.kind === "done" ? null : `${told.why}; ${adviceOn(readSetting)}`;
}

/** What forbids namespaces to users, by the kernel's settings. */
export function adviceOn(setting: (name: string) => string | null): string {
  const ways: readonly (readonly [name: string, forbidden: string, allowed: string])[] = [
    ["user.max_user_namespaces", "0", "10000"],
    ["kernel.unprivileged_userns_clone", "0", "1"],
    ["kernel.apparmor_restrict_unprivileged_userns", "1", "0"],
  ];
  const found = ways.filter(([name, forbidden]) => setting(name) === forbidden);
  const allow = found.map(([name, , allowed]) => `"sudo sysctl -w ${name}=${allowed}"`).join(" and ");
  const why = allow
    ? `this machine forbids user namespaces: allow them with ${allow}`
    : "whoever runs this machine, or the container that this is, keeps users from namespaces of their own";
  return `${why}, or run the lab as root ("sudo"); "holdfast demo" needs neither`;
}

/** This very command begins anew in an enclosure, as the same process (E4). */
export function enclose(): never {
  become(enclosing(thisCommand()));
}

/** Where the lab has an enclosure of the same person that is still there, this very command begins anew in it. */
export function enter({ enclosure, pid }: Pick<LabState, "enclosure" | "pid">): void {
  const there = enclosureOf(pid);
  if (there === null || there.id !== enclosure || there.uid !== process.geteuid?.()) return;
  become([...wayInto(pid), "env", `--chdir=${process.cwd()}`, ...thisCommand()]);
}

/** Put before a command of the same person, which may then do there what root may. */
export function wayInto(pid: number): readonly string[] {
  return ["nsenter", "--target", String(pid), "--user", "--preserve-credentials", "--net", "--mount"];
}

export function isEnclosedIn(id: string, pid: number): boolean {
  const there = enclosureOf(pid);
  return there !== null && there.id === id;
}

/** Whoever started them, and wherever they are in it. */
export function processesOf(id: string): number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => isEnclosedIn(id, pid));
}

/** Ends whatever is still in it, and with that the enclosure (E1); throws when something stays. */
export async function endEnclosure(id: string): Promise<void> {
  const until = performance.now() + 5000;
  for (;;) {
    const inside = processesOf(id);
    if (inside.length === 0) return;
    if (until < performance.now()) throw new Error(`these processes do not end: ${inside.join(", ")}`);
    for (const pid of inside) signalTo(pid, "SIGKILL");
    await sleep(20);
  }
}

function enclosing(command: readonly string[]): readonly string[] {
  const own = ["--user", "--map-root-user", "--net", "--mount"];
  const ids = [process.geteuid?.(), process.getegid?.()].map(String);
  return ["unshare", ...own, "sh", "-c", furnish, "sh", randomUUID(), ...ids, process.cwd(), ...command];
}

function thisCommand(): readonly string[] {
  return [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
}

function become([command = "", ...args]: readonly string[]): never {
  const path = findTool(command);
  if (path === null || !process.execve) throw new Error(`${command} cannot be run`);
  return process.execve(path, [command, ...args], environment());
}

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: pathOfTools };
}

function enclosureOf(pid: number): Enclosure | null {
  return readMarker(`/proc/${pid}/root${marker}`);
}

function readMarker(file: string): Enclosure | null {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Enclosure;
  } catch {
    return null;
  }
}

function readSetting(name: string): string | null {
  try {
    return readFileSync(`/proc/sys/${name.replaceAll(".", "/")}`, "utf8").trim();
  } catch {
    return null;
  }
}
