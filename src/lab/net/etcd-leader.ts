/** Which member leads etcd, and how to make it another one: by the JSON gateway that every member has. */
import { setTimeout as sleep } from "node:timers/promises";

/** What is asked of a `LabLayout`. */
export interface EtcdPlaces {
  readonly regions: readonly {
    readonly name: string;
    readonly host: string;
    readonly ports: { readonly etcdClient: number };
  }[];
}

const withinMs = 2000;

interface MemberStatus {
  readonly region: string;
  readonly id: string;
  /** "0" or missing: it knows of none. */
  readonly leader: string;
}

/** null: no majority of members names one. */
export async function etcdLeader(layout: EtcdPlaces): Promise<string | null> {
  const members = await statuses(layout);
  const votes = Map.groupBy(members, ({ leader }) => leader);
  for (const [leader, voters] of votes)
    if (voters.length > layout.regions.length / 2)
      return members.find(({ id }) => id === leader)?.region ?? null;
  return null;
}

/** The same, when an election is over; rejects when none is within 5 s. */
export async function untilEtcdLeads(layout: EtcdPlaces): Promise<string> {
  const until = performance.now() + 5000;
  for (;;) {
    const leader = await etcdLeader(layout);
    if (leader !== null) return leader;
    if (until < performance.now()) throw new Error("etcd has had no leader for 5 s");
    await sleep(100);
  }
}

/** To `region`, or to any other that can lead; resolves with where it is then, rejects after 10 s. */
export async function moveEtcdLeader(layout: EtcdPlaces, region: string | null): Promise<string> {
  const until = performance.now() + 10_000;
  const from = await untilEtcdLeads(layout);
  for (let tried = 0; ; tried++) {
    const leader = await untilEtcdLeads(layout);
    if (region === null ? leader !== from : leader === region) return leader;
    if (until < performance.now())
      throw new Error(`the leadership of etcd could not be moved from ${from} to ${region ?? "another"}`);
    const others = (await statuses(layout)).filter((one) => one.region !== leader);
    const able = region === null ? others : others.filter((one) => one.region === region);
    const target = able[tried % able.length];
    if (target === undefined) await sleep(100);
    else await ask(layout, leader, "transfer-leadership", { targetID: target.id }).catch(() => undefined);
  }
}

async function statuses(layout: EtcdPlaces): Promise<MemberStatus[]> {
  const told = await Promise.all(
    layout.regions.map(async ({ name }) => {
      const status = (await ask(layout, name, "status", {}).catch(() => null)) as {
        header?: { member_id?: string };
        leader?: string;
      } | null;
      const id = status?.header?.member_id;
      return id === undefined ? [] : [{ region: name, id, leader: status?.leader ?? "0" }];
    }),
  );
  return told.flat();
}

async function ask(layout: EtcdPlaces, region: string, method: string, body: object): Promise<unknown> {
  const place = layout.regions.find(({ name }) => name === region);
  const answer = await fetch(`http://${place?.host}:${place?.ports.etcdClient}/v3/maintenance/${method}`, {
    method: "POST",
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(withinMs),
  });
  if (!answer.ok) throw new Error(`etcd in ${region} answered ${method} with ${answer.status}`);
  return answer.json();
}
