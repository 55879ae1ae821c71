/** How soon requests go to the new region after a table is handed over. */
import { setTimeout as pause } from "node:timers/promises";
import { Pool } from "undici";

/** Milliseconds from handing each table over to the first answer from the region that it names, in order of size. */
export async function measureShifts(
  base: string,
  apply: (generation: number, drained: string) => Promise<void>,
  changes: number,
): Promise<readonly number[]> {
  const pool = new Pool(new URL(base).origin, { connections: 1 });
  const took: number[] = [];
  try {
    for (let change = 0; change < changes; change++) {
      const [drained, wanted] = change % 2 === 0 ? ["west", "central"] : ["central", "west"];
      const began = performance.now();
      const applied = apply(change + 2, drained as string);
      for (;;) {
        const answer = await pool.request({ method: "GET", path: "/" });
        await answer.body.dump();
        if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode} during a shift`);
        if (answer.headers["x-holdfast-region"] === wanted) break;
        await pause(1);
      }
      took.push(performance.now() - began);
      await applied;
    }
  } finally {
    await pool.close();
  }
  return took.sort((a, b) => a - b);
}
