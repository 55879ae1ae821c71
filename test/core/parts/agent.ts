/** One agent, of the plain shape if nothing else is said, told one thing after the other, ten milliseconds apart. */
import type { Command } from "../../../src/core/machine/command.ts";
import type { AgentEventBody, MemberSight } from "../../../src/core/machine/event.ts";
import { transition } from "../../../src/core/machine/machine.ts";
import { initialState } from "../../../src/core/machine/state.ts";
import type { MemberName, RegionName } from "../../../src/core/model/id.ts";
import type { InstantMs } from "../../../src/core/model/time.ts";
import { plainShape, type Shape, topologyOf } from "../../../src/sim/shapes.ts";

export interface ToldAgent {
  /** When it was last told something. */
  readonly at: InstantMs;
  /** What it orders. */
  tell(body: AgentEventBody): readonly Command[];
  /** Tells what a look at `member`, begun five milliseconds before, has found. */
  look(member: MemberName, seen: MemberSight): readonly Command[];
}

export function startAgent(self: RegionName, shape: Shape = plainShape): ToldAgent {
  let state = initialState({ self, boot: `${self}-2`, topology: topologyOf(shape), at: 1000 });
  let at = 1000;
  const tell = (body: AgentEventBody) => {
    at += 10;
    const step = transition(state, { ...body, at, wall: at }, { digest: () => "" });
    state = step.state;
    return step.commands;
  };
  return {
    get at() {
      return at;
    },
    tell,
    look: (member, seen) => tell({ kind: "member-inspected", member, startedAt: at + 5, seen }),
  };
}
