/**
 * A network with distance: in place of the bridge a process that carries every packet, with delay, jitter, loss and rate.
 *
 * `tc netem` would do it in the kernel, where the kernel has it; many of those that laptops and builders run on have not.
 * Node cannot ask for a TUN device (an ioctl), so Perl opens them and becomes Node. It comes with every Debian.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { installFilter } from "./filter.ts";
import type { HubConfig } from "./hub-main.ts";
import { machineAddress, type Network, subnetOf } from "./network.ts";
import type { NetworkPlace } from "./place.ts";
import type { Links } from "./scenario.ts";
import { findTool, runTool } from "./tool.ts";

const main = fileURLToPath(new URL("./hub-main.ts", import.meta.url));
const startWithinMs = 20_000;
/** Reads wait in threads, one a device; the rest of Node needs a few, too. */
const threads = 12;

/** TUNSETIFF = 0x400454ca (linux/if_tun.h); 0x1001: IFF_TUN, IFF_NO_PI. Descriptors are kept open over exec. */
const opener = `
$^F = 255;
my ($names, @command) = @ARGV;
my (@fds, @keep);
for my $name (split /,/, $names) {
  sysopen(my $device, "/dev/net/tun", 2) or die "cannot open /dev/net/tun: $!\\n";
  ioctl($device, 0x400454ca, pack("a16 S x22", $name, 0x1001)) or die "cannot make the device $name: $!\\n";
  push @fds, fileno($device);
  push @keep, $device;
}
exec(@command, join(",", @fds)) or die "cannot start $command[0]: $!\\n";
`;

export function areLinksPlain(links: Links): boolean {
  return links.delay === 0 && links.jitter === 0 && links.lossPercent === 0 && links.rateMbit === 0;
}

/** The slot is taken. Resolves when every place reaches every other over the hub; it ends when the process returned does. */
export async function makeDistantNetwork(
  network: Network,
  links: Links,
  configFile: string,
): Promise<ChildProcess> {
  const places = [...network.regions, network.clients];
  const { slot, link } = network.record;
  const subnet = subnetOf(slot);
  const device = (index: number) => `${link}p${index + 1}`;
  const config: HubConfig = {
    quality: {
      delayMs: links.delay,
      jitterMs: links.jitter,
      lossPercent: links.lossPercent,
      rateMbit: links.rateMbit,
    },
    addresses: [machineAddress(slot), ...places.map(({ address }) => address)],
  };
  writeFileSync(configFile, JSON.stringify(config));
  const names = [link, ...places.map((_, index) => device(index))];
  const hub = spawn(
    findTool("perl") ?? "perl",
    ["-e", opener, names.join(","), process.execPath, main, configFile],
    {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, NODE_NO_WARNINGS: "1", UV_THREADPOOL_SIZE: String(threads) },
    },
  );
  hub.stdin?.on("error", () => undefined);
  const ended = once(hub, "exit").then(() => {
    throw new Error("the hub ended before it had begun; see what it said above");
  });
  await Promise.race([once(hub.stdout, "data", { signal: AbortSignal.timeout(startWithinMs) }), ended]);
  ended.catch(() => undefined);
  const ip = (...args: string[]) => runTool("ip", args);
  for (const [index, place] of places.entries()) {
    ip("netns", "add", place.namespace);
    ip("link", "set", device(index), "netns", place.namespace);
    ip("-n", place.namespace, "link", "set", device(index), "name", "eth0");
    ip("-n", place.namespace, "addr", "add", `${place.address}/16`, "dev", "eth0");
    ip("-n", place.namespace, "link", "set", "lo", "up");
    ip("-n", place.namespace, "link", "set", "eth0", "up");
    tuneForDistance(place, subnet);
    installFilter(place);
  }
  ip("addr", "add", `${machineAddress(slot)}/16`, "dev", link);
  ip("link", "set", link, "up");
  return hub;
}

/**
 * As the guide tells people to tune hosts of far regions: a standby that goes over to a new primary gets the segment of WAL
 * anew from its beginning, over a connection that is new, too. TCP begins with 14 KB a round trip, and doubles with each.
 */
function tuneForDistance({ namespace, address, prefix }: NetworkPlace, subnet: string): void {
  const route = ["route", "replace", subnet, "dev", "eth0", "src", address, "initcwnd", "128"];
  runTool("ip", ["-n", namespace, ...route]);
  const [enter, ...more] = [
    ...prefix,
    "sh",
    "-c",
    'echo "4096 1048576 6291456" > /proc/sys/net/ipv4/tcp_rmem',
  ];
  runTool(enter as string, more);
}
