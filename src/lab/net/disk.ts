/**
 * Disks of their own for members or regions: a file with ext4 on it, mounted where their folder will be, to be broken.
 *
 * - D1. What breaks a disk for a time ends by itself: a process that outlives the lab ends it.
 * - D2. What is mounted below a lab's folder is that lab's, and so are the processes that name such a place: whoever removes
 *       the folder finds them there, and nobody remembers them.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, statfsSync } from "node:fs";
import { join, sep } from "node:path";
import type { SpanMs } from "../../core/model/time.ts";
import { signalTo } from "../signal.ts";
import { findTool, runTool, tryTool, waitHere } from "./tool.ts";

/** What PostgreSQL and a journal of ext4 need to be at ease, and little enough to be filled in a moment. */
const diskMb = 768;
/** A copy of all of it takes a second; on a machine with a load of 30, half a minute. */
const mendWithinMs = 60_000;
/** A freeze waits for what is being written. */
const killedWithinMs = 30_000;

/**
 * `canBeSlow`: the file lies on another such disk, which can be frozen: then what is below the file system waits, and not who
 * writes to it. That costs a second journal.
 */
export function makeDisk(mountPoint: string, canBeSlow = false): void {
  const under = underOf(mountPoint);
  mkdirSync(mountPoint, { recursive: true });
  mkdirSync(under, { recursive: true });
  // Room for a copy of the disk in use.
  if (canBeSlow) mountNew(`${under}.img`, 3 * diskMb, under);
  mountNew(join(under, "img"), diskMb, mountPoint);
}

function mountNew(image: string, sizeMb: number, mountPoint: string): void {
  runTool("truncate", ["-s", `${sizeMb}M`, image]);
  runTool("mkfs.ext4", ["-q", "-F", "-m", "0", image]);
  // Detached by the kernel when it is unmounted.
  runTool("mount", ["-o", "loop", image, mountPoint]);
}

/** Where the file lies that is the disk. */
function underOf(mountPoint: string): string {
  return `${mountPoint}.under`;
}

/** Everything written so far is there after a power cut. */
export function settle(mountPoint: string): void {
  runTool("sync", ["-f", mountPoint]);
}

export type DiskFault =
  /** Not a byte more fits. */
  | { readonly kind: "disk-full" }
  /** Whoever writes to it waits, and cannot be killed while it does. */
  | { readonly kind: "disk-hang" }
  /** It takes up to `upTo` for what it is asked, again and again; only a disk that can be slow. */
  | { readonly kind: "disk-slow"; readonly upTo: SpanMs }
  /** Whoever reads, writes or syncs is told of an I/O error. What was not synced before is gone. */
  | { readonly kind: "disk-fails" };

/** Who has a disk of its own: each member, or each region for all that it keeps. */
export interface LabDisks {
  readonly of: "members" | "regions";
  readonly canBeSlow: boolean;
}

/** Power is cut of a region, not of a disk: then everything that it keeps lies on one. null: nobody needs a disk. */
export function disksFor(faults: readonly { readonly fault: string }[]): LabDisks | null {
  const kinds = faults.map(({ fault }) => fault);
  const isPowerCut = kinds.includes("power-cut");
  if (!isPowerCut && !kinds.some(isDiskFault)) return null;
  return { of: isPowerCut ? "regions" : "members", canBeSlow: kinds.includes("disk-slow") };
}

export const diskFaults = ["disk-full", "disk-hang", "disk-slow", "disk-fails"] as const;

export function isDiskFault(name: string): name is DiskFault["kind"] {
  return diskFaults.some((known) => known === name);
}

export interface BrokenDisk {
  /** What it is now, for people. */
  readonly text: string;
  /** Early, if need be; resolves when the disk is well. */
  end(signal: AbortSignal): Promise<void>;
}

/** The word by which a process that ends a fault is found (D2). */
const mark = "holdfast-disk-fault";
const ballast = "ballast";

/**
 * ext4 that was shut down stays so until nobody has a file of it open any more; a copy of what it had written is another
 * disk, and is mounted over it: whoever looks finds one of the two.
 */
const mountAnew = [
  'cp --sparse=always "$1.under/img" "$1.under/new"',
  'mv "$1.under/new" "$1.under/img"',
  'mount -o loop "$1.under/img" "$1"',
].join(" && ");

/** $1: the mount point. */
const endings = {
  "disk-full": `rm -f "$1/${ballast}"`,
  "disk-hang": 'fsfreeze -u "$1"',
  "disk-fails": mountAnew,
} as const;

/**
 * FIFREEZE and FITHAW (linux/fs.h) on a descriptor: a path would be another disk's once this one is gone. A sync is several
 * writes, one after the other: with a pause of 50 ms many met a second freeze, and a third. Two other ways were measured.
 * Frozen itself, a disk keeps PostgreSQL from writing a line to its log. With a limit of the kernel (blkio, two writes a
 * second) one fsync took 2.6 s, and 15 while something else was written.
 */
const slowly = `
my ($path, $left, $up_to) = @ARGV;
my $over = 0;
$SIG{TERM} = sub { $over = 1 };
open(my $disk, "<", $path) or die "cannot open $path: $!\\n";
sub rest {
  for (my $rest = shift; !$over && 0 < $rest; $rest -= 0.05) {
    select(undef, undef, undef, $rest < 0.05 ? $rest : 0.05);
  }
}
while (!$over && 0 < $left && (stat $path)[0] == (stat $disk)[0]) {
  my $is_frozen = ioctl($disk, 0xC0045877, 0);
  rest($left < $up_to ? $left : $up_to);
  ioctl($disk, 0xC0045878, 0) if $is_frozen;
  rest(0.2);
  $left -= $up_to + 0.2;
}
`;

/** EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH (fs/ext4/ext4.h). */
const shutDown = `
open(my $disk, "<", $ARGV[0]) or die "cannot open $ARGV[0]: $!\\n";
my $how = pack("L", 2);
ioctl($disk, 0x8004587d, $how) or die "cannot shut down $ARGV[0]: $!\\n";
`;

/** Holds when it returns, and lasts for `forMs` (D1). */
export function breakDisk(mountPoint: string, fault: DiskFault, forMs: SpanMs): BrokenDisk {
  if (!isDisk(mountPoint)) throw new Error(`no disk is mounted at ${mountPoint}`);
  const child = lasting(mountPoint, fault, forMs);
  if (fault.kind === "disk-full") fill(mountPoint);
  if (fault.kind === "disk-hang") runTool("fsfreeze", ["-f", mountPoint]);
  if (fault.kind === "disk-fails") loseUnsynced(mountPoint);
  return {
    text: textOf(fault),
    end: (signal) => {
      child.kill("SIGTERM");
      return over(child, mountPoint, signal);
    },
  };
}

function textOf(fault: DiskFault): string {
  switch (fault.kind) {
    case "disk-full":
      return "is full";
    case "disk-hang":
      return "hangs";
    case "disk-slow":
      return `takes up to ${fault.upTo / 1000} s for what it is asked`;
    case "disk-fails":
      return "answers with I/O errors, and what was not synced is gone";
    default:
      return fault satisfies never;
  }
}

/** Ends the fault when its time is over, or when it is told to. */
function lasting(mountPoint: string, fault: DiskFault, forMs: SpanMs): ChildProcess {
  const seconds = (forMs / 1000).toFixed(3);
  if (fault.kind === "disk-slow") {
    const under = underOf(mountPoint);
    if (!isDisk(under)) throw new Error(`the disk at ${mountPoint} cannot be slow: it was made without`);
    return fork("perl", ["-e", slowly, under, seconds, (fault.upTo / 1000).toFixed(3), mark]);
  }
  const script = `trap 'kill $!' TERM; sleep "$2" & wait $!; ${endings[fault.kind]}`;
  return fork("sh", ["-c", script, mark, mountPoint, seconds]);
}

/** From here on the disk fails, and what was not synced before is gone; until `bringBack`. */
export function loseUnsynced(mountPoint: string): void {
  runTool("perl", ["-e", shutDown, mountPoint]);
}

/** Mounted anew, with what is on it. */
export async function bringBack(mountPoint: string, signal: AbortSignal): Promise<void> {
  await over(fork("sh", ["-c", mountAnew, mark, mountPoint]), mountPoint, signal);
}

/** Whatever was broken below `folder` is well a moment later. */
export function endDiskFaultsBelow(folder: string): void {
  for (const pid of faultsBelow(folder)) signalTo(pid, "SIGTERM");
}

/** Let go and unmounted (D2). */
export function removeDisksBelow(folder: string): void {
  const mountPoints = mounted().filter((path) => path.startsWith(folder + sep));
  const thawAll = (): void => {
    for (const mountPoint of mountPoints) tryTool("fsfreeze", ["-u", mountPoint]);
  };
  const until = performance.now() + killedWithinMs;
  for (;;) {
    const faults = faultsBelow(folder);
    // Whoever is killed in the middle of a freeze freezes all the same, and dies then: only what is thawed after that stays so.
    thawAll();
    if (faults.length === 0 || until < performance.now()) break;
    // Each leads a group: a shell and its sleep.
    for (const pid of faults) signalTo(-pid, "SIGKILL");
    waitHere(20);
  }
  for (const mountPoint of mountPoints.toReversed()) {
    const told = tryTool("umount", [mountPoint]);
    // Somebody may still be dying in it: out of sight now, gone with the last of them.
    if (told.kind === "failed") runTool("umount", ["-l", mountPoint]);
  }
}

function fill(mountPoint: string): void {
  const file = join(mountPoint, ballast);
  const { bavail, bsize } = statfsSync(mountPoint);
  const told = tryTool("fallocate", ["-l", String(bavail * bsize), file]);
  // Its own bookkeeping needs a block, too: then it fails, and has taken all there was.
  if (told.kind === "failed" && 0 < statfsSync(mountPoint).bavail) throw new Error(told.because);
}

function fork(command: string, args: readonly string[]): ChildProcess {
  const path = findTool(command);
  if (path === null) throw new Error(`${command} is not installed, and a disk is to be broken`);
  const child = spawn(path, args, { stdio: "ignore", detached: true });
  child.on("error", () => undefined);
  child.unref();
  return child;
}

async function over(child: ChildProcess, mountPoint: string, signal: AbortSignal): Promise<void> {
  child.ref();
  if (child.exitCode === null && child.signalCode === null)
    await once(child, "exit", { signal: AbortSignal.any([signal, AbortSignal.timeout(mendWithinMs)]) });
  if (child.exitCode !== 0)
    throw new Error(
      `the disk at ${mountPoint} is not well again: what mends it ended with ${child.exitCode}`,
    );
}

export function isDisk(folder: string): boolean {
  return mounted().includes(folder);
}

function mounted(): string[] {
  try {
    const lines = readFileSync("/proc/mounts", "utf8").split("\n");
    return lines.map((line) => line.split(" ")[1] ?? "");
  } catch {
    return [];
  }
}

function faultsBelow(folder: string): number[] {
  return readdirSync("/proc").flatMap((entry) => {
    try {
      const words = readFileSync(`/proc/${entry}/cmdline`, "utf8").split("\0");
      return words.includes(mark) && words.some((word) => word.startsWith(folder + sep))
        ? [Number(entry)]
        : [];
    } catch {
      return [];
    }
  });
}
