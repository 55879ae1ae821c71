/**
 * What a client of HTTP/2 can put into a head, written as frames by hand, against an origin that writes down all bytes:
 * nothing of it becomes a second request, a second host, or framing of HTTP/1.1.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { edgeConfig, folder, startHere, until } from "./parts/edges.ts";
import { type Field, openFrames, plainGet } from "./parts/frames.ts";
import { isWhole, startHearing } from "./parts/hearing.ts";
import { service, signed, table, target } from "./parts/tables.ts";

/** `left-out`: nghttp2 takes the field away, and the request arrives as if it had never been there. */
type Verdict = "refused" | "passed" | "left-out";
type Case = readonly [name: string, fields: readonly Field[], verdict: Verdict, body?: string];

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
const withField = (name: string, value: string): readonly Field[] => [...plainGet, [name, value]];
const withPseudo = (name: string, value: string): readonly Field[] =>
  plainGet.map((field): Field => (field[0] === name ? [name, value] : field));
const without = (name: string): readonly Field[] => plainGet.filter((field) => field[0] !== name);
const post = (...more: readonly Field[]): readonly Field[] => [...withPseudo(":method", "POST"), ...more];

/** Values that would end a line, or a head, if they were written down as they are. */
const breaking = [`x\r\n\r\n${smuggled}`, "x\r\nhost: b", "x\nhost: b", "x\rhost: b", "x\0y", "\r\nx: y"];

const corpus: readonly Case[] = [
  ...breaking.flatMap((value): readonly Case[] => [
    [`field value ${value}`, withField("x", value), "left-out"],
    [`cookie ${value}`, withField("cookie", value), "left-out"],
    [`host ${value}`, withField("host", value), "left-out"],
    [`path ${value}`, withPseudo(":path", `/${value}`), "refused"],
    [`method ${value}`, withPseudo(":method", `GET ${value}`), "refused"],
    [`authority ${value}`, withPseudo(":authority", value), "refused"],
    [`scheme ${value}`, withPseudo(":scheme", `http${value}`), "refused"],
    [`field name ${value}`, withField(value.toLowerCase(), "y"), "left-out"],
  ]),
  ...["/x HTTP/1.1\r\nHost: b\r\n\r\n", "/x y", "x", "", "http://b/x", "/x#y", "/\xff", "*", "//b@c x"].map(
    (path): Case => [`path ${path}`, withPseudo(":path", path), "refused"],
  ),
  ...["CONNECT", "TRACE", "get", "", "G ET", "PRI", "GET /y HTTP/1.1\r\n"].map(
    (method): Case => [`method ${method}`, withPseudo(":method", method), "refused"],
  ),
  ...["a b", "a,b", "a/b", "u@a", "", "a:80:80", "[::1"].map(
    (host): Case => [`authority ${host}`, withPseudo(":authority", host), "refused"],
  ),
  ...["", "ftp", "http,https", "HTTP"].map(
    (scheme): Case => [`scheme ${scheme}`, withPseudo(":scheme", scheme), "refused"],
  ),
  ...["X", ":x", ":protocol", ":status"].map(
    (name): Case => [`field name ${name}`, withField(name, "y"), "refused"],
  ),
  ...["x y", "x:", "x\u00fc", "", "x(", "x\t"].map(
    (name): Case => [`field name ${name}`, withField(name, "y"), "left-out"],
  ),
  ...(
    [
      ["connection", "close"],
      ["connection", "upgrade"],
      ["keep-alive", "timeout=5"],
      ["proxy-connection", "keep-alive"],
      ["transfer-encoding", "chunked"],
      ["transfer-encoding", "identity"],
      ["upgrade", "websocket"],
      ["te", "gzip"],
      ["te", "trailers, chunked"],
      ["host", "b"],
      ["content-length", "5"],
      ["content-length", "-1"],
      ["content-length", "+0"],
      ["content-length", "0, 0"],
      ["expect", "something"],
    ] as const
  ).map(([name, value]): Case => [`${name}: ${value}`, withField(name, value), "refused"]),
  ["a pseudo-header field after a field", [...without(":path"), ["x", "y"], [":path", "/x"]], "refused"],
  [
    "a pseudo-header field after a cookie",
    [...without(":path"), ["cookie", "y"], [":path", "/x"]],
    "refused",
  ],
  ["two paths", withField(":path", "/y"), "refused"],
  ["two methods", withField(":method", "GET"), "refused"],
  ["two authorities", withField(":authority", "a"), "refused"],
  ["no path", without(":path"), "refused"],
  ["no method", without(":method"), "refused"],
  ["no scheme", without(":scheme"), "refused"],
  ["no authority and no host", without(":authority"), "refused"],
  ["no authority and two hosts", [...without(":authority"), ["host", "a"], ["host", "a"]], "refused"],
  ["two lengths", post(["content-length", "5"], ["content-length", "6"]), "refused", "hello"],
  ["a length below the body's", post(["content-length", "2"]), "refused", "hello"],
  ["a length above the body's", post(["content-length", "50"]), "refused", "hello"],
  [
    "a hundred and one fields",
    [...plainGet, ...Array.from({ length: 101 }, (_, n): Field => [`x${n}`, "y"])],
    "refused",
  ],
  ["a head of 17 KB", withField("x", "y".repeat(17_000)), "refused"],

  ["a plain request", plainGet, "passed"],
  ["the authority as host too", withField("host", "a"), "passed"],
  ["a host and no authority", [...without(":authority"), ["host", "a"]], "passed"],
  ["te: trailers", withField("te", "trailers"), "passed"],
  ["a body that looks like a request", post(), "passed", smuggled],
  ["a body and its length", post(["content-length", "5"]), "passed", "hello"],
  ["a body that looks like the end of chunks", post(), "passed", `0\r\n\r\n${smuggled}`],
  ["a disguised coding", withField("transfer_encoding", "chunked"), "passed"],
  ["a disguised length", post(["content_length", "5"]), "passed", "hello"],
  ["HTTP2-Settings", withField("http2-settings", "AA"), "passed"],
  ["fields that only we say", withField("x-holdfast-mode", "static"), "passed"],
  ["cookies in crumbs", [...plainGet, ["cookie", "a=1"], ["cookie", "b=2"]], "passed"],
  ["a path that HTTP/1.1 could carry", withPseudo(":path", "/%0d%0aHost:%20b"), "passed"],
];

test(`each of ${corpus.length} doubtful heads of HTTP/2 is refused, or arrives as exactly one request`, async (t) => {
  using state = folder();
  await using origin = await startHearing();
  const { heard } = origin;
  const http2 = { ...edgeConfig("").http2, cleartext: true };
  await using edge = await startHere(edgeConfig(state.path, { http2 }));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", origin.port)]) } })));
  let plain = "";
  {
    await using frames = await openFrames(edge);
    frames.write(frames.headers(1, { end: true, fields: plainGet }));
    await until(() => frames.statuses.length > 0, "an answer");
    plain = heard[0]?.raw ?? "";
    assert.match(plain, /^GET \/x HTTP\/1\.1\r\nhost: a\r\n/);
  }
  for (const [name, fields, verdict, body] of corpus)
    await t.test(`${verdict}: ${JSON.stringify(name).slice(1, -1)}`, async () => {
      heard.length = 0;
      await using frames = await openFrames(edge);
      frames.write(frames.headers(1, { end: body === undefined, fields }));
      if (body !== undefined) frames.write(frames.data(1, body));
      const isOver = () =>
        frames.isClosed || frames.types.some((type) => type === "HEADERS" || type === "RST_STREAM");
      await until(isOver, "an end of it");
      if (verdict === "refused") {
        assert.notEqual(frames.statuses[0], "200");
        // A request that was let through would be there by now: the next one, over the same edge, comes after it.
        await (await fetch(edge.http)).text();
        assert.equal(heard.length, 1, `the origin heard ${JSON.stringify(heard)}`);
        return;
      }
      await until(() => frames.statuses.length > 0, "an answer");
      assert.equal(frames.statuses[0], "200");
      assert.equal(heard.length, 1);
      const { raw } = heard[0]!;
      const head = raw.slice(0, raw.indexOf("\r\n\r\n")).toLowerCase();
      assert.ok(isWhole(raw), `not exactly one request: ${JSON.stringify(raw)}`);
      assert.equal(
        head.match(/\r\n(content-length|transfer-encoding):/g)?.length ?? 0,
        body === undefined ? 0 : 1,
      );
      assert.equal(head.match(/\r\nhost: a(\r\n|$)/g)?.length, 1);
      assert.equal(head.match(/\r\ncookie:/g)?.length ?? 0, name.includes("crumbs") ? 1 : 0);
      assert.doesNotMatch(head, /\r\n(connection|upgrade|te|http2-settings|[a-z]+_[a-z]+):/);
      assert.deepEqual(head.match(/\r\nx-holdfast-mode: [^\r]*/g), ["\r\nx-holdfast-mode: rw"]);
      if (verdict === "left-out") assert.equal(withoutId(raw), withoutId(plain));
    });
});

test("a request that is taken back in the middle of its body never arrives as a whole one", async () => {
  using state = folder();
  await using origin = await startHearing();
  const http2 = { ...edgeConfig("").http2, cleartext: true };
  await using edge = await startHere(edgeConfig(state.path, { http2 }));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", origin.port)]) } })));
  await using frames = await openFrames(edge);
  // NO_ERROR and CANCEL; with a length and without.
  for (const [at, code] of [0, 8, 0, 8].entries()) {
    const stream = 2 * at + 1;
    const fields = at < 2 ? post() : post(["content-length", "50"]);
    frames.write(
      frames.headers(stream, { fields }),
      frames.data(stream, "half", false),
      frames.reset(stream, code),
    );
  }
  frames.write(frames.headers(9, { end: true }));
  await until(() => frames.statuses.length === 1, "the request after them is answered");
  assert.deepEqual(
    origin.heard.map(({ raw }) => raw.slice(0, 5)),
    ["GET /"],
  );
});

function withoutId(raw: string): string {
  return raw.replace(/x-request-id: [^\r]*/, "");
}
