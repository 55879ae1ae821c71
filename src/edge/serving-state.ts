/** What people are told of an edge that serves, and how the words of several processes become those of one. */

export interface ServingState {
  readonly held: number;
  readonly writersFailing: readonly string[];
  readonly services: readonly {
    readonly name: string;
    readonly active: number;
    readonly repeating: number;
    readonly level: number;
    readonly automatic: number;
  }[];
  readonly upstreams: readonly {
    readonly url: string;
    readonly region: string;
    /** By one process at least. */
    readonly ejected: boolean;
    readonly inFlight: number;
    readonly limit: number;
  }[];
  readonly stores: readonly {
    readonly name: string;
    readonly sessions: number;
    /** The oldest that a process goes by. */
    readonly epoch: number;
    readonly writer: string | null;
  }[];
  readonly certificates: unknown;
}

/** Numbers together; of what each process finds out for itself the worst. */
export function together(states: readonly ServingState[]): ServingState {
  const all = <T>(of: (state: ServingState) => readonly T[], key: (one: T) => string): readonly T[][] => {
    const groups = Map.groupBy(states.flatMap(of), key);
    return [...groups.values()];
  };
  const sum = <T>(group: readonly T[], of: (one: T) => number) =>
    group.reduce((total, one) => total + of(one), 0);
  return {
    held: sum(states, ({ held }) => held),
    writersFailing: [...new Set(states.flatMap(({ writersFailing }) => writersFailing))],
    services: all(
      ({ services }) => services,
      ({ name }) => name,
    ).map((group) => ({
      name: (group[0] as { name: string }).name,
      active: sum(group, ({ active }) => active),
      repeating: sum(group, ({ repeating }) => repeating),
      level: Math.max(...group.map(({ level }) => level)),
      automatic: Math.max(...group.map(({ automatic }) => automatic)),
    })),
    upstreams: all(
      ({ upstreams }) => upstreams,
      ({ region, url }) => `${region} ${url}`,
    ).map((group) => ({
      ...(group[0] as ServingState["upstreams"][number]),
      ejected: group.some(({ ejected }) => ejected),
      inFlight: sum(group, ({ inFlight }) => inFlight),
      limit: sum(group, ({ limit }) => limit),
    })),
    stores: all(
      ({ stores }) => stores,
      ({ name }) => name,
    ).map((group) => ({
      ...group.reduce((oldest, one) => (one.epoch < oldest.epoch ? one : oldest)),
      sessions: sum(group, ({ sessions }) => sessions),
    })),
    certificates: states[0]?.certificates ?? [],
  };
}
