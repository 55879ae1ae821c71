/** How a member of etcd is started in a lab: one a region, on addresses that all of them know from the beginning. */

export interface EtcdMember {
  readonly name: string;
  readonly dataDir: string;
  readonly client: string;
  readonly peer: string;
}

export function etcdArguments(
  own: EtcdMember,
  all: readonly Pick<EtcdMember, "name" | "peer">[],
  profile: string,
): readonly string[] {
  return [
    ["--name", own.name, "--data-dir", own.dataDir, "--logger", "zap"],
    ["--listen-client-urls", own.client, "--advertise-client-urls", own.client],
    ["--listen-peer-urls", own.peer, "--initial-advertise-peer-urls", own.peer],
    ["--initial-cluster", all.map(({ name, peer }) => `${name}=${peer}`).join(",")],
    ["--initial-cluster-state", "new"],
    // A member that was cut off would come back with a higher term and depose a leader that is well (3.4; later ones do it).
    ["--pre-vote"],
    etcdElection(profile),
  ].flat();
}

/** Elections as the profile wants them (DESIGN section 5): fast ones for `fast`, etcd's own else. */
function etcdElection(profile: string): readonly string[] {
  return profile === "fast" ? ["--heartbeat-interval", "100", "--election-timeout", "600"] : [];
}
