/** Everything that can be compared, by name. */
import { autoFailover } from "./auto-failover.ts";
import { holdfast } from "./holdfast.ts";
import { patroni } from "./patroni.ts";
import type { System } from "./system.ts";

export const systems: readonly System[] = [
  ...(["fast", "balanced"] as const).flatMap((profile) =>
    (["synchronous", "asynchronous"] as const).map((replication) => holdfast({ profile, replication })),
  ),
  ...(["fastest", "default"] as const).flatMap((pace) =>
    (["synchronous", "strict", "asynchronous"] as const).map((mode) => patroni({ pace, mode })),
  ),
  ...(["tuned", "default"] as const).flatMap((pace) =>
    (["synchronous", "asynchronous"] as const).map((replication) => autoFailover({ pace, replication })),
  ),
];
