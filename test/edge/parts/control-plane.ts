/** A control plane for tests: takes a signed table on standard input, hands it to an edge for ever, says when it was taken. */
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { adminToken } from "./tables.ts";

const [admin] = process.argv.slice(2);
const table = await text(process.stdin);
for (;;) {
  const headers = { authorization: `Bearer ${adminToken}` };
  const answer = await fetch(`${admin}/v1/table`, { method: "POST", headers, body: table });
  if (answer.ok) console.log("taken");
  await pause(100);
}
