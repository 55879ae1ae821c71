/** Where two members' histories part, as numbers tell. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compareHistories, cutHistory, parseHistory } from "../../../src/adapters/postgres/history.ts";

const history = (timeline: number, switches: readonly (readonly [number, string])[], end: number) =>
  cutHistory(
    parseHistory(
      timeline,
      switches.map(([parent, at]) => `${parent}\t0/${at}\tno recovery target specified\n`).join("\n"),
    ),
    end,
  );

void test("what is a part of the other's history joins, what goes on beyond a switch has diverged there", () => {
  const upstream = history(
    3,
    [
      [1, "300"],
      [2, "500"],
    ],
    0x900,
  );
  const forks: readonly (readonly [string, ReturnType<typeof history>, number | null])[] = [
    ["behind on the first timeline", history(1, [], 0x200), null],
    ["ends at the switch", history(1, [], 0x300), null],
    ["goes on beyond the switch", history(1, [], 0x301), 0x300],
    ["behind on the second", history(2, [[1, "300"]], 0x400), null],
    ["beyond the second's switch", history(2, [[1, "300"]], 0x600), 0x500],
    [
      "has heard of the third, and written nothing of it",
      history(
        3,
        [
          [1, "300"],
          [2, "500"],
        ],
        0x500,
      ),
      null,
    ],
    [
      "on the third",
      history(
        3,
        [
          [1, "300"],
          [2, "500"],
        ],
        0x900,
      ),
      null,
    ],
    ["switched earlier to a second of its own", history(2, [[1, "280"]], 0x400), 0x280],
    ["switched later to a second of its own", history(2, [[1, "350"]], 0x400), 0x300],
    [
      "on a fourth that upstream does not know",
      history(
        4,
        [
          [1, "300"],
          [2, "500"],
          [3, "800"],
        ],
        0x850,
      ),
      0x800,
    ],
  ];
  for (const [what, own, forkedAt] of forks)
    assert.equal(compareHistories(own, upstream).forkedAt, forkedAt, what);
});
