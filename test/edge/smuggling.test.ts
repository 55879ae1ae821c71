/**
 * A corpus of requests that readers are known to disagree about, through the edge, against an origin that writes down all
 * bytes that it is sent: either a request is refused and the origin hears nothing of it, or it arrives as exactly one,
 * framed in exactly one way.
 */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { corpus } from "./parts/doubtful-requests.ts";
import { edgeConfig, folder, startHere, until } from "./parts/edges.ts";
import { isWhole, startHearing } from "./parts/hearing.ts";
import { startOrigin } from "./parts/origins.ts";
import { service, signed, table, target } from "./parts/tables.ts";

test(`each of ${corpus.length} doubtful requests is refused, or arrives as exactly one`, async (t) => {
  using state = folder();
  await using origin = await startHearing();
  const { heard } = origin;
  const config = edgeConfig(state.path);
  await using edge = await startHere(config);
  const route = service([target("west", origin.port)]);
  await edge.apply(signed(table(1, { services: { orders: route } })));
  const port = Number(new URL(edge.http).port);
  for (const [name, bytes, verdict] of corpus) {
    await t.test(`${verdict}: ${JSON.stringify(name).slice(1, -1)}`, async () => {
      heard.length = 0;
      const answer = await send(port, bytes);
      const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)]
        .map((match) => match[1])
        .filter((s) => s !== "100");
      assert.equal(statuses.length, 1, `one answer, not ${JSON.stringify(answer)}`);
      if (verdict === "refused") {
        assert.match(statuses[0] as string, /^4|^50[15]/);
        assert.match(answer, /connection: close/);
        assert.equal(heard.length, 0, `the origin heard ${JSON.stringify(heard)}`);
        return;
      }
      assert.equal(statuses[0], "200", answer);
      assert.equal(heard.length, 1);
      const { raw } = heard[0]!;
      const head = raw.slice(0, raw.indexOf("\r\n\r\n")).toLowerCase();
      assert.ok(isWhole(raw), `not exactly one request: ${JSON.stringify(raw)}`);
      assert.equal(
        head.match(/\r\n(content-length|transfer-encoding):/g)?.length ?? 0,
        raw.startsWith("GET") && !raw.includes("\r\n\r\nGET") ? 0 : 1,
      );
      assert.equal(head.match(/\r\nhost:/g)?.length, 1);
      assert.doesNotMatch(head, /\r\n(connection|upgrade|expect|[a-z]+_[a-z]+):/);
      // What the edge says itself, once each and as it is; none of what a client says in its name.
      assert.deepEqual(
        [...head.matchAll(/\r\nx-holdfast-([^\r]*)/g)].map((match) => match[1]),
        [`edge: ${config.name}`, "epoch: 1", "generation: 1", "region: west", "mode: rw"],
      );
    });
  }
});

/** All that comes back until the connection closes, or for 150 ms after the first answer. */
async function send(port: number, bytes: string): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port });
  let text = "";
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(never);
      socket.destroy();
      resolve(text);
    };
    const never = setTimeout(
      () => reject(new Error(`no answer to ${JSON.stringify(bytes.slice(0, 200))}`)),
      3000,
    );
    socket
      .on("data", (chunk: Buffer) => {
        text += chunk.toString("latin1");
        // A second answer would come in the same turns of the loop as the first.
        if (/\r\n\r\n(ok|\{)/.test(text)) setTimeout(settle, 10);
      })
      .on("error", settle)
      .on("close", settle);
    socket.write(Buffer.from(bytes, "latin1"));
  });
}

test("two honest requests sent ahead are answered one after the other", async () => {
  using state = folder();
  const seen: string[] = [];
  await using west = await startOrigin((request, response) => {
    seen.push(request.url as string);
    response.end(`answer to ${request.url}`);
  });
  await using edge = await startHere(edgeConfig(state.path));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", west.port)]) } })));
  const socket = connect({ host: "127.0.0.1", port: Number(new URL(edge.http).port) });
  let text = "";
  socket.on("data", (chunk) => {
    text += String(chunk);
  });
  const rows = Array.from(
    { length: 50 },
    (_, n) => `POST /${n} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx`,
  );
  socket.write(rows.join(""));
  await until(() => text.includes("answer to /49"), "the last is answered");
  socket.destroy();
  assert.deepEqual(
    seen,
    rows.map((_, n) => `/${n}`),
  );
  assert.deepEqual(
    [...text.matchAll(/answer to (\/\d+)/g)].map((match) => match[1]),
    seen,
  );
});
