/** What people do to a lab that runs, from another shell: break something of it, heal it, end it. */
import { dirname } from "node:path";
import { regionNames } from "../lab/layout.ts";
import { cut, type cutNames } from "../lab/net/cut.ts";
import { breakDisk, type DiskFault, endDiskFaultsBelow, isDisk, isDiskFault } from "../lab/net/disk.ts";
import { enter } from "../lab/net/enclosure.ts";
import { heal as healPlaces } from "../lab/net/filter.ts";
import { type FoundLab, findLabs, takeDown } from "../lab/net/labs.ts";
import { describeNetwork } from "../lab/net/network.ts";
import { whatLabsMiss } from "../lab/net/requirements.ts";
import { complain } from "./connect.ts";
import { exit } from "./exit.ts";

export const heal = "heal";

/** After telling what is missing, and setting the exit code. */
export function isPossible(): boolean {
  const missing = whatLabsMiss();
  if (missing.length === 0) return true;
  complain(`the lab cannot run here: ${missing.join("; ")}`, exit.unreachable);
  return false;
}

interface FaultOptions {
  readonly region?: string;
  readonly to?: string;
  readonly percent?: number;
  readonly upTo?: number;
  readonly for?: number;
  readonly slot?: number;
}

type FaultByHand = (typeof cutNames)[number] | DiskFault["kind"] | typeof heal;

export function breakByHand(name: FaultByHand, options: FaultOptions): void {
  if (!isPossible()) return;
  const labs = findLabs().filter(
    ({ slot, isRunning }) => isRunning && (options.slot === undefined || slot === options.slot),
  );
  const [lab] = labs;
  if (!lab || labs.length > 1)
    return complain(
      lab
        ? `several labs run here: name one with --slot ${labs.map(({ slot }) => slot).join(" or ")}`
        : 'no lab runs here; start one with "holdfast lab up"',
      lab ? exit.refused : exit.unreachable,
    );
  if (lab.state) enter(lab.state);
  const network = describeNetwork(lab.slot, regionNames);
  const { region, to, percent = 5, for: forMs = 30_000 } = options;
  if (name === heal) {
    healPlaces([...network.regions, network.clients]);
    if (lab.state) endDiskFaultsBelow(dirname(lab.state.topologyFile));
    return void process.stdout.write("everything passes again, and disks are well\n");
  }
  if (region === undefined) return complain(`${name} needs --region`, exit.usage);
  if (name === "link" && to === undefined) return complain("link needs --to, the other region", exit.usage);
  try {
    if (isDiskFault(name)) {
      const disk = diskIn(lab, region);
      const asked = name === "disk-slow" ? { kind: name, upTo: options.upTo ?? 2000 } : { kind: name };
      const { text } = breakDisk(disk, asked, forMs);
      return void process.stdout.write(`the disk of ${region} ${text}, for ${forMs / 1000} s\n`);
    }
    const text =
      name === "link"
        ? cut(network, { kind: name, region, to: to ?? "" }, forMs)
        : name === "loss"
          ? cut(network, { kind: name, region, percent }, forMs)
          : cut(network, { kind: name, region }, forMs);
    process.stdout.write(`${text}, for ${forMs / 1000} s\n`);
  } catch (error) {
    complain((error as Error).message, exit.invalid);
  }
}

/** Of the member of `region`. */
function diskIn({ state }: FoundLab, region: string): string {
  const member = state?.members.find((one) => one.region === region);
  if (!member)
    throw new Error(
      `no member in ${region}; there is one in: ${state?.members.map((one) => one.region).join(", ")}`,
    );
  const disk = dirname(member.dataDir);
  if (!isDisk(disk)) throw new Error('members of this lab have no disks: start one with "lab up --disks"');
  return disk;
}

export async function endLabs(slot: number | undefined, options: { readonly all?: boolean }): Promise<void> {
  if (!isPossible()) return;
  const labs = findLabs();
  const chosen = options.all ? labs : slot === undefined ? labs : labs.filter((lab) => lab.slot === slot);
  if (slot !== undefined && chosen.length === 0)
    return complain(
      `no lab ${slot}; there is: ${labs.map((lab) => lab.slot).join(", ") || "none"}`,
      exit.invalid,
    );
  if (!options.all && chosen.length > 1)
    return complain(
      `several labs are here: ${chosen.map((lab) => lab.slot).join(", ")}; name one, or take --all`,
      exit.refused,
    );
  for (const lab of chosen) {
    try {
      await takeDown(lab);
      process.stdout.write(`lab ${lab.slot} is gone\n`);
    } catch (error) {
      complain(`lab ${lab.slot}: ${(error as Error).message}; run it again`, exit.failed);
    }
  }
  if (chosen.length === 0) process.stdout.write("no lab is here\n");
}
