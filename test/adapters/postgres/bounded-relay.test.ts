/** A rewind through the relay gets all bytes in their order, and takes no more of the link than it may. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { openBoundedRelay } from "../../../src/adapters/postgres/bounded-relay.ts";

test("what comes back is whole, and no faster than asked", { timeout: 20_000 }, async () => {
  const sent = randomBytes(500_000);
  const upstream = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.end(sent));
  });
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
  const relay = await openBoundedRelay(
    { host: "127.0.0.1", port: (upstream.address() as { port: number }).port },
    1_000_000,
  );
  try {
    const began = performance.now();
    const client = connect(relay.address);
    client.write("all of it");
    const got: Buffer[] = [];
    for await (const chunk of client) got.push(chunk as Buffer);
    assert.deepEqual(Buffer.concat(got), sent);
    // The last chunk, of 64 KiB at most, is paid for after it was handed on.
    assert.ok(performance.now() - began > 400, `after ${performance.now() - began} ms`);
  } finally {
    await relay.close();
    upstream.close();
  }
});

test("an upstream that is not there is an end, and nothing is left of the relay", {
  timeout: 10_000,
}, async () => {
  const relay = await openBoundedRelay({ host: "127.0.0.1", port: 1 }, 1000);
  const client = connect(relay.address);
  client.on("error", () => undefined);
  await once(client, "close");
  await relay.close();
  const late = connect(relay.address);
  const [error] = await once(late, "error");
  assert.equal((error as NodeJS.ErrnoException).code, "ECONNREFUSED");
});
