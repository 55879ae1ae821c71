/** The fencer's log on stderr: never blocks, never fails. */
import { write } from "node:fs";

/** More lines than this in waiting are dropped and counted. */
const waitingMax = 200;

/**
 * `process.stderr.write` to a pipe is synchronous: when the reader (a frozen agent) no longer reads, the pipe fills and
 * the fencer would stand still with it. Here a thread of the pool may hang in its place.
 */
export function createVoice(member: string): (text: string) => void {
  const waiting: string[] = [];
  let writing = false;
  let dropped = 0;
  const next = () => {
    const line = waiting.shift();
    if (line === undefined) {
      writing = false;
      return;
    }
    writing = true;
    // Whether it worked is nobody's concern: the reader may have died long ago.
    write(2, line, next);
  };
  return (text) => {
    if (waitingMax <= waiting.length) {
      dropped += 1;
      return;
    }
    const line = {
      at: new Date().toISOString(),
      who: "fencer",
      member,
      text,
      ...(dropped ? { dropped } : {}),
    };
    dropped = 0;
    waiting.push(`${JSON.stringify(line)}\n`);
    if (!writing) next();
  };
}
