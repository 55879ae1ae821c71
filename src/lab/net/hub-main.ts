/**
 * Carries packets between the TUN devices of the places, late, seldom or slowly: `node hub-main.ts CONFIG FD,FD,...`.
 *
 * It ends with whoever holds the other end of its standard input. Packets to and from the machine's own address pass as
 * they are (N3).
 */
import { read, readFileSync, writeSync } from "node:fs";
import { enter, type Line, type LineQuality, leave, newLine } from "./hub-line.ts";

export interface HubConfig {
  readonly quality: LineQuality;
  /** In the order of the descriptors; the first is the machine's own. */
  readonly addresses: readonly string[];
}

interface Kept {
  readonly packet: Buffer;
  readonly to: number;
  readonly line: Line;
  readonly leavesAt: number;
}

/** Of a device: 1500, and room for what a kernel hands over unsplit. */
const packetMaxBytes = 65_536;
/** 20 s of them. */
const failuresMax = 400;
/** Where an IPv4 header has its destination. */
const destinationAt = 16;

const config = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as HubConfig;
const { quality } = config;
const descriptors = (process.argv[3] ?? "").split(",").map(Number);
const numberOf = new Map(config.addresses.map((address, index) => [toNumber(address), index]));
const lines = descriptors.map((_, from) =>
  descriptors.map((_, to) => ({ from, to, line: newLine(), kept: [] as Kept[], next: 0 })),
);
let timer: NodeJS.Timeout | null = null;
let timerAt = Number.POSITIVE_INFINITY;

process.stdin.resume();
// Reads that wait in threads would keep `exit` waiting, too.
process.stdin.on("close", () => process.kill(process.pid, "SIGKILL"));
for (const from of descriptors.keys()) listen(from);
process.stdout.write("hub-started\n");

function listen(from: number): void {
  const fd = descriptors[from] ?? -1;
  const buffer = Buffer.allocUnsafe(packetMaxBytes);
  let failures = 0;
  const next = () =>
    read(fd, buffer, 0, packetMaxBytes, null, (error, bytes) => {
      // A device that is down, or on its way to its place, cannot be read for a moment.
      if (error) {
        if (++failures < failuresMax) return void setTimeout(next, 50);
        process.stderr.write(`hub: cannot read from place ${from}: ${error.message}\n`);
        return void process.kill(process.pid, "SIGKILL");
      }
      failures = 0;
      if (bytes >= 20) carry(from, Buffer.from(buffer.subarray(0, bytes)));
      next();
    });
  next();
}

function carry(from: number, packet: Buffer): void {
  // IPv6 has no addresses here.
  if ((packet[0] ?? 0) >> 4 !== 4) return;
  const to = numberOf.get(packet.readUInt32BE(destinationAt));
  if (to === undefined) return;
  const way = lines[from]?.[to];
  if (!way) return;
  if (from === 0 || to === 0) return deliver(to, packet);
  const now = performance.now();
  const chance = { loss: Math.random(), jitter: Math.random() };
  const leavesAt = enter(way.line, quality, { bytes: packet.length, now }, chance);
  if (leavesAt === null) return;
  if (leavesAt <= now) {
    leave(way.line, packet.length);
    return deliver(to, packet);
  }
  way.kept.push({ packet, to, line: way.line, leavesAt });
  wakeAt(leavesAt);
}

function wakeAt(at: number): void {
  if (timerAt <= at) return;
  if (timer) clearTimeout(timer);
  timerAt = at;
  timer = setTimeout(release, Math.max(0, at - performance.now()));
}

function release(): void {
  timer = null;
  timerAt = Number.POSITIVE_INFINITY;
  // Half a millisecond early rather than a whole one late: timers have no finer grain.
  const now = performance.now() + 0.5;
  let earliest = Number.POSITIVE_INFINITY;
  for (const way of lines.flat()) {
    for (let head = way.kept[way.next]; head && head.leavesAt <= now; head = way.kept[way.next]) {
      way.next++;
      leave(head.line, head.packet.length);
      deliver(head.to, head.packet);
    }
    if (way.next > 1024 || way.next === way.kept.length) {
      way.kept = way.kept.slice(way.next);
      way.next = 0;
    }
    earliest = Math.min(earliest, way.kept[way.next]?.leavesAt ?? Number.POSITIVE_INFINITY);
  }
  if (Number.isFinite(earliest)) wakeAt(earliest);
}

function deliver(to: number, packet: Buffer): void {
  try {
    writeSync(descriptors[to] ?? -1, packet);
  } catch {
    // The device is down: a packet to nowhere.
  }
}

function toNumber(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}
