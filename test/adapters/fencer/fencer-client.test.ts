/** The fencer's client against fencers that are gone, silent, or come back. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { FencerClient } from "../../../src/adapters/fencer/fencer-client.ts";
import { parseQuestion } from "../../../src/adapters/fencer/wire.ts";

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), "holdfast-client-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** `answer` null: takes the connection and says nothing. */
async function stand(path: string, answer: ((id: number) => object) | null) {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      for (const line of chunk.toString().trimEnd().split("\n")) {
        const question = parseQuestion(line);
        if (question !== null && answer !== null) socket.write(`${JSON.stringify(answer(question.id))}\n`);
      }
    });
  });
  await new Promise<void>((done) => server.listen(path, done));
  return {
    async end() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

const state = { armed: true, epoch: 3, deadline: 1234.5, fired: 0, lastFiring: "" };
const yes = (id: number) => ({ id, done: true, because: "", state });

test("nobody there is an error at once, and a fencer that comes later is found by the next question", async (t) => {
  const path = join(folder(t), "f.sock");
  const client = new FencerClient({ socketPath: path, timeoutMs: 2000 });
  t.after(() => client.close());
  const began = performance.now();
  await assert.rejects(client.pet({ epoch: 1, deadline: 1 }), {
    code: "HOLDFAST_FENCER_UNREACHABLE",
    retryable: true,
    message: /cannot ask the fencer at .*f\.sock \(pet\): .*ENOENT.*; see whether its process runs/,
  });
  assert.ok(performance.now() - began < 1000);
  for (let life = 0; life < 3; life += 1) {
    const fencer = await stand(path, yes);
    assert.equal(await client.pet({ epoch: 1, deadline: 1 }), true);
    assert.deepEqual(await client.state(1000), state);
    await fencer.end();
    await assert.rejects(client.state(1000), { code: "HOLDFAST_FENCER_UNREACHABLE" });
  }
});

test("a fencer that says nothing costs the deadline and no more, and a late answer goes to nobody", async (t) => {
  const path = join(folder(t), "f.sock");
  const silent = await stand(path, null);
  const client = new FencerClient({ socketPath: path, timeoutMs: 60 });
  t.after(async () => {
    await client.close();
    await silent.end();
  });
  const began = performance.now();
  const message = /no answer within 60 ms/;
  await Promise.all([
    assert.rejects(client.pet({ epoch: 1, deadline: 1 }), { message }),
    assert.rejects(client.disarm({ epoch: 1 }), { message }),
    assert.rejects(client.state(60), { message }),
  ]);
  assert.ok(performance.now() - began < 2000);
  // Nothing piles up: beyond the bound all that waits is given up and the connection is made anew.
  const many = Array.from({ length: 300 }, () => client.pet({ epoch: 1, deadline: 1 }));
  const results = await Promise.allSettled(many);
  assert.ok(results.every((each) => each.status === "rejected"));
  assert.match(String((results[0] as PromiseRejectedResult).reason), /256 questions without an answer/);
});

test("a refusal is false and keeps its reason; after closing every question is refused", async (t) => {
  const path = join(folder(t), "f.sock");
  const fencer = await stand(path, (id) => ({ id, done: false, because: "it has fired in epoch 3", state }));
  const client = new FencerClient({ socketPath: path });
  assert.equal(await client.pet({ epoch: 3, deadline: 1 }), false);
  assert.equal(client.lastRefusal, "it has fired in epoch 3");
  await client.close();
  await assert.rejects(client.pet({ epoch: 3, deadline: 1 }), { message: /the client was closed/ });
  await fencer.end();
});

test("what is not a question to the letter is none", () => {
  const check = (line: string, expected: object | null) => assert.deepEqual(parseQuestion(line), expected);
  check(`{"id":1,"ask":"pet","epoch":2,"deadline":3.5}`, { id: 1, ask: "pet", epoch: 2, deadline: 3.5 });
  check(`{"id":1,"ask":"disarm","epoch":2,"more":1}`, { id: 1, ask: "disarm", epoch: 2 });
  check(`{"id":0,"ask":"state"}`, { id: 0, ask: "state" });
  for (const line of [
    "",
    "null",
    "[]",
    "{}",
    "{",
    `{"id":1,"ask":"pet","epoch":2}`,
    `{"id":1,"ask":"pet","epoch":2,"deadline":null}`,
    `{"id":1,"ask":"pet","epoch":2,"deadline":"3"}`,
    `{"id":1,"ask":"pet","epoch":2,"deadline":1e999}`,
    `{"id":1,"ask":"pet","epoch":-1,"deadline":3}`,
    `{"id":1,"ask":"pet","epoch":2.5,"deadline":3}`,
    `{"id":1,"ask":"end","epoch":2}`,
    `{"id":"1","ask":"state"}`,
  ])
    check(line, null);
});
