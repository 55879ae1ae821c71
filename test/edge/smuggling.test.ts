/**
 * A corpus of requests that readers are known to disagree about, through the edge, against an origin that writes down all
 * bytes that it is sent: either a request is refused and the origin hears nothing of it, or it arrives as exactly one,
 * framed in exactly one way.
 */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { edgeConfig, folder, startHere, until } from "./parts/edges.ts";
import { isWhole, startHearing } from "./parts/hearing.ts";
import { startOrigin } from "./parts/origins.ts";
import { service, signed, table, target } from "./parts/tables.ts";

type Verdict = "refused" | "passed";
type Case = readonly [name: string, bytes: string, verdict: Verdict];

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
const post = (fields: string, body = "", path = "/x") =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${body}`;
const get = (fields: string) => `GET /x HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n`;
const chunked = (body: string) => post("Transfer-Encoding: chunked", body);

/** Spellings of `Transfer-Encoding: chunked` that some reader takes for it and another does not. */
const codings = [
  "Transfer-Encoding : chunked",
  "Transfer-Encoding\t: chunked",
  " Transfer-Encoding: chunked",
  "\tTransfer-Encoding: chunked",
  "Transfer-Encoding:\u000bchunked",
  "Transfer-Encoding:\u000cchunked",
  "Transfer-Encoding: xchunked",
  "Transfer-Encoding: chunkedx",
  "Transfer-Encoding: chunked, identity",
  "Transfer-Encoding: identity, chunked",
  "Transfer-Encoding: gzip, chunked",
  "Transfer-Encoding: chunked, chunked",
  "Transfer-Encoding: chunked;q=1",
  'Transfer-Encoding: "chunked"',
  "Transfer-Encoding: 'chunked'",
  "Transfer-Encoding: chunk",
  "Transfer-Encoding:",
  "Transfer-Encoding: ",
  "Transfer-Encoding: ,chunked",
  "Transfer-Encoding: chunked,",
  "Transfer-Encoding: identity",
  "Transfer-Encoding: \0chunked",
  "Transfer-Encoding: chunked\0",
  "Transfer\0-Encoding: chunked",
  "Transfer-Encoding\0: chunked",
  "Transfer-Encoding: \u007fchunked",
  "Transfer-Encoding: chu nked",
  "Transfer-Encoding: c\thunked",
  "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
  "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
  "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
  "Transfer-Encoding:\r\n chunked",
  "Transfer-Encoding:\r\n\tchunked",
  "X: y\r\n Transfer-Encoding: chunked",
  "Transfer-Encoding: chunked\r",
  "X: y\nTransfer-Encoding: chunked",
  "X: y\rTransfer-Encoding: chunked",
  "Transfer-Encoding\r\n: chunked",
  "Transfer-Encoding: \xa0chunked",
  "Transfer-Encoding: chunked\xa0",
  "\xa0Transfer-Encoding: chunked",
  "Transfer-Encoding\xa0: chunked",
  "Transfer Encoding: chunked",
  "Transfer-Encoding: \u0085chunked",
];

/** Lengths that some reader takes for another number, or for none. */
const lengths = [
  "+5",
  "-5",
  "5,5",
  "5, 5",
  "5 5",
  "0x5",
  "5.0",
  "5e0",
  "",
  " ",
  "five",
  "5;",
  "5\0",
  "\x005",
  "05x",
  "٥",
  "99999999999999999999",
  "18446744073709551616",
  "9223372036854775808",
  "1_0",
  "5\u000b",
  "NaN",
  "Infinity",
];

const requestLines = [
  "GET  /x HTTP/1.1",
  " GET /x HTTP/1.1",
  "GET /x  HTTP/1.1",
  "GET\t/x HTTP/1.1",
  "GET /x\tHTTP/1.1",
  "GET /x HTTP/1.1 ",
  "GET /x",
  "GET /x HTTP/2.0",
  "GET /x HTTP/0.9",
  "GET /x HTTP/1.2",
  "GET /x HTTP/1.10",
  "GET /x http/1.1",
  "GET /x HTTP/1",
  "GET /x HTTPS/1.1",
  "GET /x\0 HTTP/1.1",
  "GE\0T /x HTTP/1.1",
  "G@T /x HTTP/1.1",
  "GET /x\x7f HTTP/1.1",
  "GET /\xff HTTP/1.1",
  "GET /x#fragment HTTP/1.1",
  "GET x HTTP/1.1",
  "GET http://b/x HTTP/1.1",
  "GET //b@c:80 x HTTP/1.1",
  "GET * HTTP/1.1",
  "CONNECT a:80 HTTP/1.1",
  "TRACE /x HTTP/1.1",
  "GET /x HTTP/1.1\r",
  "\0GET /x HTTP/1.1",
  "PRI * HTTP/2.0",
  "GET /x HTTP/1.1 HTTP/1.1",
  "DEBUG /x HTTP/1.1",
  "get /x HTTP/1.1",
  "GET /x y HTTP/1.1",
  "GET ? HTTP/1.1",
  "TRACK /x HTTP/1.1",
];

const fields = [
  "X",
  ": y",
  " X: y",
  "X : y",
  "X\t: y",
  "X y: z",
  "X(: y",
  "X,: y",
  "X[]: y",
  "X\0: y",
  "\0X: y",
  "X: \0",
  "X: a\rb",
  "X: a\nb",
  "X: a\r\n b",
  "X: a\r\n\tb",
  "X: \x01",
  "X: \x1f",
  "X: \x7f",
  "Ü: y",
  "X{: y",
  "X;: y",
  "Host: b",
  "Host: b\r\nHost: c",
  "Expect: something",
  "Expect: 100-continue, x",
];

const hosts = [
  "",
  " ",
  "a b",
  "a,b",
  "a/b",
  "a@b",
  "a?b",
  "a#b",
  "a:b",
  "a:80:80",
  "a\\b",
  "[::1",
  "a\tb",
  "a:",
  '"a"',
];

const bodies = [
  "5\nhello\r\n0\r\n\r\n",
  "5\r\nhello\n0\r\n\r\n",
  "5\r\nhello0\r\n\r\n",
  "5\r\nhelloX\r\n0\r\n\r\n",
  "+5\r\nhello\r\n0\r\n\r\n",
  "-5\r\nhello\r\n0\r\n\r\n",
  "0x5\r\nhello\r\n0\r\n\r\n",
  " 5\r\nhello\r\n0\r\n\r\n",
  "5_0\r\nhello\r\n0\r\n\r\n",
  "5 5\r\nhello\r\n0\r\n\r\n",
  "\r\nhello\r\n0\r\n\r\n",
  "G\r\nhello\r\n0\r\n\r\n",
  "10000000000000005\r\nhello\r\n0\r\n\r\n",
  "5\0\r\nhello\r\n0\r\n\r\n",
  "5;a=\n\r\nhello\r\n0\r\n\r\n",
  "5\r\nhello\r\n0\n\n",
  "5\r\nhello\r\n0\r\n\n",
  "5\r\n\r\nhello\r\n0\r\n\r\n",
  `5${";".repeat(5000)}\r\nhello\r\n0\r\n\r\n`,
  "5\rhello\r\n0\r\n\r\n",
  "5\r\nhello\r0\r\n\r\n",
  "0\r\nX: y\n\r\n",
  "five\r\nhello\r\n0\r\n\r\n",
];

const corpus: readonly Case[] = [
  ...codings.map((each): Case => [`coding ${each}`, post(each, `0\r\n\r\n${smuggled}`), "refused"]),
  ...codings.map(
    (each): Case => [
      `coding ${each} beside a length`,
      post(`Content-Length: 5\r\n${each}`, `0\r\n\r\n${smuggled}`),
      "refused",
    ],
  ),
  ...lengths.map(
    (each): Case => [`length ${each}`, post(`Content-Length: ${each}`, `hello${smuggled}`), "refused"],
  ),
  ...requestLines.map((each): Case => [`line ${each}`, `${each}\r\nHost: a\r\n\r\n`, "refused"]),
  ...fields.map((each): Case => [`field ${each}`, get(each), "refused"]),
  ...hosts.map((each): Case => [`host ${each}`, `GET /x HTTP/1.1\r\nHost: ${each}\r\n\r\n`, "refused"]),
  ...bodies.map((each): Case => [`body ${each.slice(0, 30)}`, chunked(each + smuggled), "refused"]),
  ["no host", "GET /x HTTP/1.1\r\n\r\n", "refused"],
  [
    "a length and a coding",
    post("Content-Length: 5\r\nTransfer-Encoding: chunked", `0\r\n\r\n${smuggled}`),
    "refused",
  ],
  [
    "a coding and a length",
    post("Transfer-Encoding: chunked\r\nContent-Length: 5", `0\r\n\r\n${smuggled}`),
    "refused",
  ],
  ["two lengths", post("Content-Length: 5\r\nContent-Length: 6", `hello${smuggled}`), "refused"],
  ["two equal lengths", post("Content-Length: 5\r\nContent-Length: 5", "hello"), "refused"],
  [
    "a coding in HTTP/1.0",
    "POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "refused",
  ],
  ["bare line feeds", "GET /x HTTP/1.1\nHost: a\n\n", "refused"],
  ["one bare line feed", "GET /x HTTP/1.1\r\nHost: a\n\r\n", "refused"],
  [
    "a hundred and one fields",
    get(Array.from({ length: 101 }, (_, n) => `X${n}: y`).join("\r\n")),
    "refused",
  ],
  ["a head of 17 KB", get(`X: ${"y".repeat(17_000)}`), "refused"],
  ["a path of 17 KB", `GET /${"y".repeat(17_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, "refused"],
  ["TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "refused"],

  ["a plain request", get("X: y"), "passed"],
  ["an empty line before it", `\r\n${get("X: y")}`, "passed"],
  ["a length of zero", post("Content-Length: 0"), "passed"],
  ["a body with a length", post("Content-Length: 5", "hello"), "passed"],
  ["a length with zeros before it", post("Content-Length: 0005", "hello"), "passed"],
  ["a chunked body", chunked("5\r\nhello\r\n0\r\n\r\n"), "passed"],
  ["a coding in capitals", post("TRANSFER-ENCODING: CHUNKED", "5\r\nhello\r\n0\r\n\r\n"), "passed"],
  ["a coding with space around it", post("Transfer-Encoding: \t chunked \t", "0\r\n\r\n"), "passed"],
  ["chunk extensions", chunked('5;a="b"\r\nhello\r\n0;x\r\n\r\n'), "passed"],
  ["trailers, even dangerous ones", chunked("0\r\nContent-Length: 99\r\nHost: b\r\n\r\n"), "passed"],
  [
    "a GET with a body",
    `GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
    "passed",
  ],
  ["a body that looks like a request", post(`Content-Length: ${smuggled.length}`, smuggled), "passed"],
  ["a disguised coding", get("Transfer_Encoding: chunked"), "passed"],
  ["a disguised length", post("Content_Length: 5\r\nContent-Length: 0"), "passed"],
  [
    "framing named by Connection",
    post("Connection: content-length, host\r\nContent-Length: 5", "hello"),
    "passed",
  ],
  [
    "a key named by Connection",
    post("Connection: idempotency-key\r\nIdempotency-Key: k\r\nContent-Length: 0"),
    "passed",
  ],
  [
    "an upgrade that is not followed",
    get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA"),
    "passed",
  ],
  ["fields that only we say", get("X-Holdfast-Region: west\r\nX-Holdfast-Retry: nothing-done"), "passed"],
  ["fields that we say to services", get("X-Holdfast-Mode: static\r\nX-Holdfast-Epoch: 99"), "passed"],
  ["HTTP/1.0", "GET /x HTTP/1.0\r\nHost: a\r\n\r\n", "passed"],
  ["bytes above ASCII in a value", get("X: \xfc\xff"), "passed"],
  ["an IPv6 host", "GET /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "passed"],
  ["Expect: 100-continue", post("Expect: 100-continue\r\nContent-Length: 5", "hello"), "passed"],
];

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
        [`edge: ${config.name}`, "epoch: 1", "generation: 1", "mode: rw"],
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
