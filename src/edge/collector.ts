/**
 * How V8 collects the garbage of an edge: often, alone, without guessing, and seldom the whole heap.
 *
 * - Alone: V8 shares the work of a collection among threads and waits for the last of them. An edge has one core, or cores
 *   that others want too: the wait for a thread that is not scheduled is longer than the work.
 * - Without guessing: where many objects survived once, as under a load that saturates the edge, V8 makes their kind old from
 *   the start ("pretenuring"), and never takes that back. Old objects keep the young ones that they point to, dead or not: each
 *   request left a kilobyte behind, and a collection of 0.5 to 1.3 ms took 7 to 11 from then on, with every request waiting.
 * - Seldom: V8 lets a small heap grow by what survives of the young objects, which are few where requests come and go; then
 *   tables of a thousand services make it collect everything every few seconds, in the middle of taking them in. Here it is
 *   collected when it is four times what lived, as V8 itself allows at most.
 *
 * p99 at 5,000 requests a second after a saturating load: 7 to 14 ms with the guess, 3.5 to 4.8 without (HAProxy: 2.8 to
 * 4.1; `npm run bench:edge -- --without-packages`).
 */
import { setFlagsFromString } from "node:v8";

export function setUpCollector(): void {
  for (const shared of ["scavenge", "compaction", "pointer-update"])
    setFlagsFromString(`--no-parallel-${shared}`);
  setFlagsFromString("--no-allocation-site-pretenuring");
  setFlagsFromString("--heap-growing-percent=300");
}
