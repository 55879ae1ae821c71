/** Who has something under way, told from the bytes alone, however they are cut into chunks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readFirstPacket, SessionFollower } from "../../src/edge/postgres-wire.ts";
import { done, message, query, ready, sslRequest, startup } from "./parts/wire-server.ts";

type Step = readonly [from: "client" | "server", bytes: Buffer, busyAfter: boolean];

const row = message("D", Buffer.alloc(100));
const greeting: Step = ["server", Buffer.concat([message("R", Buffer.alloc(4)), ready("I")]), false];
const parse = Buffer.concat([message("P", "s\0"), message("B", "b\0"), message("E", "e\0")]);

const stories: Readonly<Record<string, readonly Step[]>> = {
  "a simple query is under way until the server is ready again": [
    greeting,
    ["client", query("select 1"), true],
    ["server", row, true],
    ["server", Buffer.concat([done("SELECT 1"), ready("I")]), false],
  ],
  "a transaction is under way from begin to commit, a failed one too": [
    greeting,
    ["client", query("begin"), true],
    ["server", Buffer.concat([done("BEGIN"), ready("T")]), true],
    ["client", query("oops"), true],
    ["server", Buffer.concat([message("E", "\0"), ready("E")]), true],
    ["client", query("rollback"), true],
    ["server", Buffer.concat([done("ROLLBACK"), ready("I")]), false],
  ],
  "two queries sent at once need two answers": [
    greeting,
    ["client", Buffer.concat([query("a"), query("b")]), true],
    ["server", Buffer.concat([done("A"), ready("I")]), true],
    ["server", Buffer.concat([done("B"), ready("I")]), false],
  ],
  "extended messages are under way before their Sync and until it is answered": [
    greeting,
    ["client", parse, true],
    ["client", message("S"), true],
    ["server", Buffer.concat([message("1"), message("2"), done("X"), ready("I")]), false],
  ],
  "a copy in by a simple query ends with its one answer": [
    greeting,
    ["client", query("copy t from stdin"), true],
    ["server", message("G", Buffer.alloc(3)), true],
    ["client", Buffer.concat([message("d", "row\n"), message("c")]), true],
    ["server", Buffer.concat([done("COPY 1"), ready("I")]), false],
  ],
  "a copy in by extended messages swallows the Sync before it": [
    greeting,
    ["client", Buffer.concat([parse, message("S")]), true],
    ["server", message("G", Buffer.alloc(3)), true],
    ["client", Buffer.concat([message("d", "row\n"), message("c"), message("S")]), true],
    ["server", Buffer.concat([done("COPY 1"), ready("I")]), false],
  ],
  "before the server was ever ready there is nothing to finish": [
    ["server", message("R", Buffer.from([0, 0, 0, 3])), false],
    ["client", message("p", "password\0"), false],
    greeting,
  ],
  "notices and parameters in between change nothing": [
    greeting,
    [
      "server",
      Buffer.concat([message("N", "note\0"), message("S", "a\0b\0"), message("A", "notify")]),
      false,
    ],
  ],
  "goodbye needs no answer": [greeting, ["client", message("X"), false]],
};

for (const [name, steps] of Object.entries(stories)) {
  test(name, () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }), (cuts) => {
        const follower = new SessionFollower();
        let cut = 0;
        for (const [from, bytes, busyAfter] of steps) {
          for (let at = 0; at < bytes.length; ) {
            const length = cuts[cut++ % cuts.length] as number;
            const chunk = bytes.subarray(at, at + length);
            if (from === "client") follower.fromClient(chunk);
            else follower.fromServer(chunk);
            at += length;
          }
          assert.equal(follower.isBusy, busyAfter);
        }
      }),
      { numRuns: 50 },
    );
  });
}

test("half a message on its way is something under way", () => {
  const follower = new SessionFollower();
  follower.fromServer(ready("I"));
  follower.fromServer(row.subarray(0, 20));
  assert.equal(follower.isBusy, true);
  follower.fromServer(row.subarray(20));
  assert.equal(follower.isBusy, false);
});

test("first packets are told apart, and nonsense is not waited for", () => {
  assert.deepEqual(readFirstPacket(Buffer.alloc(0)), { kind: "incomplete" });
  assert.deepEqual(readFirstPacket(startup().subarray(0, 12)), { kind: "incomplete" });
  assert.deepEqual(readFirstPacket(sslRequest), { kind: "encryption", bytes: 8 });
  assert.equal(readFirstPacket(startup()).kind, "start");
  assert.equal(readFirstPacket(Buffer.from("GET / HTTP/1.1\r\n")).kind, "nonsense");
});

test("no bytes whatsoever make the follower throw or stall", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 })), (chunks) => {
      const follower = new SessionFollower();
      for (const chunk of chunks) {
        follower.fromServer(chunk);
        follower.fromClient(chunk);
      }
    }),
  );
});
