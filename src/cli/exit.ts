/** What the exit code of a command means: distinct, so that a script can tell "no" from "I do not know". */
export const exit = {
  /** Done, or valid, or nothing to say. */
  ok: 0,
  /** It failed, and it is known that it did. */
  failed: 1,
  /** The command line makes no sense. */
  usage: 2,
  /** A file cannot be read or is not valid. */
  invalid: 3,
  /** An agent, a store or an edge did not answer. */
  unreachable: 4,
  /** It was understood and not done: a rule, an epoch or a person is against it. */
  refused: 5,
  /** It may have happened: measure before anything is repeated. */
  unknown: 6,
  /** It worked, or would, and an objective (RTO, RPO, capacity, ...) is not met. */
  objectivesNotMet: 7,
  /** A backup cannot be restored, or what was restored of it is not whole. */
  damaged: 8,
  /** Ended by SIGINT, as shells count it (128 + 2). */
  interrupted: 130,
} as const;

export type ExitCode = (typeof exit)[keyof typeof exit];

/** For `--help`: one line a code. */
export const exitHelp = `Exit codes:
  0  done                     5  refused
  1  failed                   6  outcome unknown
  2  wrong usage              7  objectives not met
  3  invalid input            8  backup damaged
  4  unreachable            130  interrupted`;

/** Set, not called: the process ends by itself when its output is written. */
export function exitWith(code: ExitCode): void {
  process.exitCode = code;
}
