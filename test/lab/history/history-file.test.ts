/** A history on disk: what is written is read back, and what is wrong is told with its line. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { HistoryRecorder, readHistoryFile } from "../../../src/lab/history/history-file.ts";
import { parseHistory } from "../../../src/lab/history/history-text.ts";
import type { History } from "../../../src/lab/history/operation.ts";
import { historyOf } from "./story.ts";

const folder = mkdtempSync(join(tmpdir(), "hf-history-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const sample = historyOf(`
  a 0-10 write r 1 : ok west@1
  b 5-20 swap r 1 2 : yes north@2
  c 5-20 read r : null
  d 0-50 append l 7 : ?
  a 30-40 list l : [] north@2
  b 30-40 transfer k 0 1 30 : no
  c 30-40 balances k : 100,100
  e 30-40 append l 8 : x`);

async function written(history: History): Promise<{ readonly path: string; readonly history: History }> {
  const path = join(folder, "history.jsonl");
  const recorder = new HistoryRecorder(path, { run: history.run, bank: history.bank });
  const events = history.operations.flatMap(({ number, client, ask, sentAt, doneAt, outcome }) => [
    { kind: "sent" as const, number, client, at: sentAt, ask },
    { kind: "answered" as const, number, at: doneAt, outcome },
  ]);
  const order = (kind: string) => (kind === "sent" ? 0 : 1);
  for (const event of events.sort((a, b) => a.at - b.at || order(a.kind) - order(b.kind)))
    recorder.take(event);
  return { path, history: await recorder.end() };
}

test("what was recorded is read back as it was", async () => {
  const { path, history } = await written(sample);
  assert.deepEqual(history, sample);
  assert.deepEqual(readHistoryFile(path), sample);
});

test("what was sent and never answered is of unknown outcome: the recorder may have died", async () => {
  const { path } = await written(sample);
  const lines = readFileSync(path, "utf8").split("\n");
  const without = lines.filter(
    (line) => !/"answered","number":0,/.test(line) && !/"client":0,"at":30/.test(line),
  );
  const history = parseHistory(without.filter((line) => !/"answered","number":4,/.test(line)).join("\n"));
  const first = history.operations.find(({ number }) => number === 0);
  assert.equal(first?.outcome.kind, "unknown");
  assert.equal(first?.doneAt, Number.POSITIVE_INFINITY);
});

const head = '{"kind":"history","schema":1,"run":"r","bank":{"opening":[100],"mayOverdraw":false}}';
const sent = '{"kind":"sent","number":0,"client":0,"at":5,"ask":{"kind":"append","key":"l","value":1}}';
const answered = '{"kind":"answered","number":0,"at":6,"outcome":{"kind":"ok","told":{},"by":null}}';

const wrong: readonly (readonly [name: string, lines: readonly string[], error: RegExp])[] = [
  ["an empty file", [""], /^line 1: it is no JSON/],
  ["a file of another kind", ['{"kind":"load"}'], /^line 1: kind: /],
  ["a later schema", [head.replace('"schema":1', '"schema":2')], /^line 1: schema: /],
  ["a line that is no JSON", [head, sent, "{"], /^line 3: it is no JSON/],
  ["an operation that nobody knows", [head, sent.replace("append", "increment")], /^line 2: ask/],
  ["a field too many", [head, sent.replace('"at":5', '"at":5,"color":"red"')], /^line 2: .*color/],
  [
    "a value that is no whole number",
    [head, sent.replace('"value":1', '"value":1.5')],
    /^line 2: ask\.value/,
  ],
  ["an answer to nothing", [head, answered], /^line 2: operation 0 was answered and never sent/],
  ["two answers", [head, sent, answered, answered], /^line 4: operation 0 was answered before/],
  [
    "an answer before its sending",
    [head, sent, answered.replace('"at":6', '"at":4')],
    /^line 3: .*before it was sent/,
  ],
  ["a number used twice", [head, sent, answered, sent], /^line 4: operation 0 was sent before/],
  [
    "a client that asks for two things at once",
    [head, sent, sent.replace('"number":0', '"number":1')],
    /^line 3: client 0 still waits for operation 0/,
  ],
  [
    "a client that goes back in time",
    [head, sent, answered, sent.replace('"number":0', '"number":1').replace('"value":1', '"value":2')],
    /^line 4: client 0 sent it before its last answer/,
  ],
  [
    "an element that is appended twice",
    [head, sent, sent.replace('"number":0,"client":0', '"number":1,"client":1')],
    /^line 3: 1 was appended to l before/,
  ],
  [
    "one key for two kinds of objects",
    [head, sent, '{"kind":"sent","number":1,"client":1,"at":5,"ask":{"kind":"read","key":"l"}}'],
    /^line 3: l is a list, and no register/,
  ],
  [
    "an answer of another kind",
    [head, sent, answered.replace('"told":{}', '"told":{"value":3}')],
    /^line 3: told of append: /,
  ],
];

for (const [name, lines, error] of wrong)
  test(`refused with its line: ${name}`, () => {
    assert.throws(() => parseHistory(`${lines.join("\n")}\n`), { name: "BadHistory", message: error });
  });

test("a file that ends in the middle of a line is refused, and the error names the file", () => {
  const path = join(folder, "torn.jsonl");
  writeFileSync(path, `${head}\n${sent}`);
  assert.throws(() => readHistoryFile(path), /torn\.jsonl, line 2: it ends in the middle/);
});

test("a file that cannot be written fails the run that wanted it", async () => {
  const recorder = new HistoryRecorder(join(folder, "no", "such", "folder"), { run: "r", bank: sample.bank });
  await assert.rejects(recorder.end(), /ENOENT/);
});
