/** What a scenario asks of the agents: the command's own words, whether they do it, refuse it, or fall silent. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { ask } from "../../../src/lab/net/ask.ts";

type Answers = (request: IncomingMessage, response: ServerResponse) => unknown;

/** With one agent that answers so. */
async function withAgent(answer: Answers, act: (stateFile: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-ask-"));
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const tokenFile = join(folder, "token");
    writeFileSync(tokenFile, "t".repeat(43));
    const stateFile = join(folder, "state.json");
    const agent = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    writeFileSync(stateFile, JSON.stringify({ tokenFile, regions: [{ name: "eu-west", agent }] }));
    await act(stateFile);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true, force: true });
  }
}

for (const status of ["succeeded", "refused"] as const)
  test(`a failback that is ${status} is told as it was said`, async () => {
    let asked: unknown;
    const answer: Answers = async (request, response) => {
      asked = { url: request.url, ...(JSON.parse(await text(request)) as object) };
      const record = { id: "1", kind: "failback", dataStore: "orders-db", status, detail: "as it is" };
      response.writeHead(202, { "content-type": "application/json" }).end(JSON.stringify(record));
    };
    await withAgent(answer, async (stateFile) => {
      const told = await ask(stateFile, "failback", "eu-west", 30_000);
      assert.deepEqual(told, { status, detail: "as it is" });
    });
    const { url, kind, dataStore, toRegion } = asked as Record<string, unknown>;
    assert.deepEqual(
      { url, kind, dataStore, toRegion },
      { url: "/v1/requests", kind: "failback", dataStore: "orders-db", toRegion: "eu-west" },
    );
  });

test("a switchover that nothing comes of is unanswered when its time is over", async () => {
  await withAgent(
    () => undefined,
    async (stateFile) => {
      const { status } = await ask(stateFile, "switchover", null, 1500);
      assert.equal(status, "unanswered");
    },
  );
});

test("a switchover that no agent takes is no answer, and says whom it was asked of", async () => {
  await withAgent(
    (_, response) => response.writeHead(500).end(),
    async (stateFile) => {
      await assert.rejects(
        ask(stateFile, "switchover", null, 30_000),
        /switchover could not be asked for.*127\.0\.0\.1/s,
      );
    },
  );
});
