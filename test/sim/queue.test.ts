/** Events come out in the order of their time, and of their adding where that is the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Queue } from "../../src/sim/queue.ts";
import { Random } from "../../src/sim/random.ts";

test("acts come out by time, and those of one instant in the order in which they went in", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 300 }), (times) => {
      const queue = new Queue();
      const out: [number, number][] = [];
      times.forEach((at, index) => {
        queue.push(at, () => out.push([at, index]));
      });
      while (queue.size > 0) queue.pop()();
      const expected = times
        .map((at, index): [number, number] => [at, index])
        .sort(([a, i], [b, j]) => a - b || i - j);
      assert.deepEqual(out, expected);
    }),
  );
});

test("what is put in while others come out keeps the order too", () => {
  const queue = new Queue();
  const chance = new Random(1, "queue");
  let now = 0;
  let left = 5000;
  const act = (at: number) => () => {
    assert.ok(at >= now, `${at} after ${now}`);
    now = at;
    for (let more = chance.below(3); more > 0 && left > 0; more--) {
      left--;
      const next = now + chance.below(50);
      queue.push(next, act(next));
    }
  };
  for (let seed = 0; seed < 20; seed++) queue.push(seed, act(seed));
  while (queue.size > 0) queue.pop()();
  assert.ok(now > 0);
});

test("a stream of chance depends on its seed and its purpose, and on nothing else", () => {
  const draw = (seed: number, purpose: string) => {
    const chance = new Random(seed, purpose);
    return Array.from({ length: 8 }, () => chance.next()).join();
  };
  assert.equal(draw(1, "network"), draw(1, "network"));
  assert.notEqual(draw(1, "network"), draw(2, "network"));
  assert.notEqual(draw(1, "network"), draw(1, "store"));
});
