/**
 * The loop that lives: an event is read, the machine is asked, its commands are handed on in order.
 *
 * C1. One event at a time; what comes meanwhile waits in order.
 * C2. An agent that was stopped is told the time before anything that waited for it: its guards may have to act first.
 * C3. A machine that asserts is a bug: the agent ends, its lease ends, another takes over.
 */

import type { Command } from "../core/machine/command.ts";
import type { AgentEvent, AgentEventBody } from "../core/machine/event.ts";
import { transition } from "../core/machine/machine.ts";
import type { AgentState } from "../core/machine/state.ts";
import type { Tools } from "../core/machine/turn.ts";
import { invariant } from "../core/model/invariant.ts";
import type { InstantMs } from "../core/model/time.ts";
import type { Clock } from "../ports/clock.ts";

export interface ControllerOptions {
  readonly clock: Clock;
  readonly tools: Tools;
  readonly initial: AgentState;
  readonly perform: (command: Command) => void;
  /** Told of every event with what came of it, before the commands are performed. */
  readonly record: (event: AgentEvent, commands: readonly Command[], state: AgentState) => void;
  /** C3. */
  readonly onBug: (error: unknown, event: AgentEvent) => void;
}

export interface Controller {
  state(): AgentState;
  /** Adds an event at this very instant. */
  tell(body: AgentEventBody): void;
  close(): void;
}

/** A loop that comes back later than this was stopped, or starved: C2. */
const pausedMs = 100;

export function createController(options: ControllerOptions): Controller {
  const { clock, tools, perform, record } = options;
  let state = options.initial;
  let closed = false;
  let running = false;
  let lastAt: InstantMs = clock.now();
  let timer: NodeJS.Timeout | null = null;
  const waiting: AgentEventBody[] = [];

  const step = (body: AgentEventBody) => {
    const event: AgentEvent = { ...body, at: clock.now(), wall: clock.wall() };
    lastAt = event.at;
    try {
      const result = transition(state, event, tools);
      invariant(
        !Number.isNaN(result.state.wakeAt),
        `the machine wants to be woken at no instant after ${event.kind}`,
      );
      state = result.state;
      record(event, result.commands, state);
      for (const command of result.commands) perform(command);
    } catch (error) {
      closed = true;
      options.onBug(error, event);
    }
  };

  const arm = () => {
    if (timer) clearTimeout(timer);
    timer = null;
    if (closed || state.wakeAt === Number.POSITIVE_INFINITY) return;
    // setTimeout counts whole milliseconds and may be early by a part of one: round up.
    const inMs = Math.min(Math.ceil(Math.max(0, state.wakeAt - clock.now())), 60_000);
    timer = setTimeout(() => tell({ kind: "woken" }), inMs);
  };

  const tell = (body: AgentEventBody) => {
    if (closed) return;
    waiting.push(body);
    if (running) return;
    running = true;
    try {
      if (body.kind !== "woken" && clock.now() - lastAt > pausedMs) waiting.unshift({ kind: "woken" });
      for (let next = waiting.shift(); next && !closed; next = waiting.shift()) step(next);
    } finally {
      running = false;
      arm();
    }
  };

  return {
    state: () => state,
    tell,
    close() {
      closed = true;
      waiting.length = 0;
      if (timer) clearTimeout(timer);
    },
  };
}
