/** What an agent was told, kept on its disk: an incident can then be debugged like a seed (`holdfast replay`). */
import type { Command } from "../core/machine/command.ts";
import type { AgentEvent } from "../core/machine/event.ts";
import {
  encodeEntry,
  type StartOptions,
  startEntry,
  stateEntry,
  stepEntry,
} from "../core/machine/recording.ts";
import type { AgentState } from "../core/machine/state.ts";
import type { Journal } from "../ports/journal.ts";

/** A file that was turned over begins with a state again after at most this many steps: about two minutes of `fast`. */
const stateEverySteps = 5000;

export interface Recorder {
  start(options: StartOptions): void;
  step(event: AgentEvent, commands: readonly Command[], state: AgentState): void;
}

export function createRecorder(journal: Journal, digest: (text: string) => string): Recorder {
  let steps = 0;
  const keep = (line: string) => void journal.append(line);
  return {
    start: (options) => keep(encodeEntry(startEntry(options))),
    step(event, commands, state) {
      keep(encodeEntry(stepEntry(event, commands, { digest })));
      steps++;
      if (steps % stateEverySteps === 0) keep(encodeEntry(stateEntry(state)));
    },
  };
}
