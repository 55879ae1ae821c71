/** Text in, topology out; or every problem with its place and what would fit. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { writeTopology } from "../../../src/core/spec/write.ts";
import { topologyArb } from "./arbitrary.ts";
import { compile, edit, exampleNames, exampleText, topologyOf } from "./text.ts";

const three = exampleText("three-regions.yaml");
const sovereignty = exampleText("sovereignty.yaml");

for (const name of exampleNames) {
  test(`the example ${name} is valid`, () => {
    assert.equal(compile(exampleText(name)).kind, "valid");
  });
}

test("what is not written has its default", () => {
  const topology = topologyOf(exampleText("two-regions-and-witness.yaml"));
  assert.deepEqual(topology.failback, { mode: "manual", stableForMs: 600_000, perDayMax: 1 });
  assert.deepEqual(topology.services[0]?.rules, {
    holdMaxMs: 10_000,
    holdMaxCount: 1000,
    tryTimeoutMs: 2000,
    retryBudget: 0.2,
    staleMaxMs: 0,
    ttlMs: 5000,
  });
  assert.equal(topology.services[0]?.endpoints[0]?.healthPath, "/healthz");
});

test("a service may be served where its sovereignty allows it, and never by a witness", () => {
  const { services } = topologyOf(sovereignty);
  assert.deepEqual(
    services.map(({ allow }) => allow),
    [
      ["eu-west", "eu-central"],
      ["us-east", "us-west"],
    ],
  );
  assert.deepEqual(topologyOf(exampleText("two-regions-and-witness.yaml")).services[0]?.allow, [
    "eu-west",
    "eu-central",
  ]);
});

test("paths are absolute from the folder of the file", () => {
  const compiled = compile(edit(three, "./data/pg-west", "../pg-west"), "/srv/holdfast");
  assert.ok(compiled.kind === "valid");
  assert.equal(compiled.topology.dataStores[0]?.members[0]?.dataDir, "/srv/pg-west");
  assert.equal(compiled.topology.dataStores[0]?.members[1]?.dataDir, "/srv/holdfast/data/pg-central");
});

test("the digest ignores comments, layout, defaults and the folder, and nothing else", () => {
  const { digest } = topologyOf(three);
  assert.match(digest, /^[0-9a-f]{64}$/);
  const same = edit(`# more\n${three}`, "  mode: auto\n", '  mode:   "auto"\n');
  assert.equal(topologyOf(same).digest, digest);
  assert.equal(topologyOf(edit(three, "    stableFor: 10m\n", "    stableFor: 600s\n")).digest, digest);
  const elsewhere = compile(three, "/opt/other");
  assert.ok(elsewhere.kind === "valid");
  assert.equal(elsewhere.topology.digest, digest);
  assert.notEqual(topologyOf(edit(three, "rto: 15s", "rto: 16s")).digest, digest);
});

/** One edit, one problem: where its mark stands (the marked text), what is said, what is offered. */
function check(
  name: string,
  text: string,
  expected: { mark: string; message: RegExp; hint: RegExp; related?: string },
) {
  test(name, () => {
    const compiled = compile(text);
    assert.ok(compiled.kind === "invalid", "it was taken for valid");
    const problems = compiled.problems.map(({ message, hint }) => `${message}; ${hint}`);
    assert.equal(compiled.problems.length, 1, problems.join("\n"));
    const [problem] = compiled.problems;
    assert.match(problem!.message, expected.message);
    assert.match(problem!.hint, expected.hint);
    const marked = (place: { line: number; column: number; length: number }) =>
      text.split("\n")[place.line - 1]?.slice(place.column - 1, place.column - 1 + place.length);
    assert.equal(marked(problem!), expected.mark);
    assert.deepEqual(problem!.related.map(marked), expected.related === undefined ? [] : [expected.related]);
  });
}

check(
  "a misspelt key is one problem, with what was meant",
  edit(three, "jurisdiction: eu", "juristiction: eu"),
  {
    mark: "juristiction",
    message: /^unknown key "juristiction"$/,
    hint: /did you mean "jurisdiction"\?/,
  },
);
check("a snake_case key is recognised", edit(three, "dataStores: [", "data_stores: ["), {
  mark: "data_stores",
  message: /unknown key/,
  hint: /did you mean "dataStores"\?/,
});
check(
  "a member in a region that does not exist is told with the nearest name",
  edit(three, "region: eu-west", "region: eu-wst"),
  {
    mark: "eu-wst",
    message: /^unknown Region "eu-wst"$/,
    hint: /did you mean "eu-west"\? Choose from eu-west, eu-central, eu-north/,
  },
);
check("a service's data store must exist", edit(three, "[orders-db]", "[order-db]"), {
  mark: "order-db",
  message: /unknown DataStore "order-db"/,
  hint: /did you mean "orders-db"\?/,
});
check("an edge's listener must name a data store", edit(three, "    orders-db: 127", "    odrers-db: 127"), {
  mark: "odrers-db",
  message: /unknown DataStore "odrers-db"/,
  hint: /did you mean "orders-db"\?/,
});
check(
  "a jurisdiction in which there is no region is a mistake",
  edit(sovereignty, "jurisdictions: [eu]", "jurisdictions: [ue]"),
  {
    mark: "ue",
    message: /unknown jurisdiction "ue"/,
    hint: /did you mean "eu"\?/,
  },
);
check("a duration needs a unit", edit(three, "rto: 15s", "rto: 15"), {
  mark: "15",
  message: /found the number 15/,
  hint: /15s/,
});
check("an availability above one is per cent without its sign", edit(three, "99.99%", "99.99"), {
  mark: "99.99",
  message: /found the number 99.99/,
  hint: /99.99% for per cent/,
});
check("a missing field is told at what should hold it", edit(three, "  agent: 127.0.0.1:7402\n", ""), {
  mark: "spec",
  message: /^spec.agent is missing$/,
  hint: /add "agent: .*:\d+"/,
});
check("an unknown kind is told with the nearest", edit(three, "kind: DataStore", "kind: Datastor"), {
  mark: "Datastor",
  message: /unknown kind "Datastor"/,
  hint: /did you mean "DataStore"\?/,
});
check(
  "asynchronous replication needs an RPO",
  edit(three, "    synchronous:\n      acknowledgements: 1", "    asynchronous: {}\n     "),
  {
    mark: "asynchronous",
    message: /asynchronous.rpo is missing/,
    hint: /add "rpo: 5s"/,
  },
);
check(
  "replication is of one kind",
  edit(three, "    synchronous:", "    asynchronous: { rpo: 1s }\n    synchronous:"),
  {
    mark: "synchronous",
    message: /"asynchronous" and "synchronous" exclude one another/,
    hint: /keep one/,
  },
);
check(
  "two regions of one name are told with both places",
  edit(three, "name: eu-north", "name: eu-west")
    .replaceAll("region: eu-north", "region: eu-central")
    .replace(
      'region: eu-central, url: "http://127.0.0.1:8003"',
      'region: eu-west, url: "http://127.0.0.1:8003"',
    )
    .replace(/ {4}- \{ region: eu-west, url: "http:\/\/127.0.0.1:8003".*\n/, ""),
  {
    mark: "eu-west",
    message: /the name "eu-west" of a Region is taken twice/,
    hint: /its own name/,
    related: "eu-west",
  },
);
check("two members of one name are told with both places", edit(three, "name: pg-north", "name: pg-west"), {
  mark: "pg-west",
  message: /the member name "pg-west" is taken twice/,
  hint: /unique within the topology/,
  related: "pg-west",
});
check(
  "two listeners on one port are told with both places",
  edit(three, "admin: 127.0.0.1:8131", "admin: localhost:7401"),
  {
    mark: "localhost:7401",
    message: /the address localhost:7401 is taken twice/,
    hint: /a port of its own/,
    related: "127.0.0.1:7401",
  },
);
check(
  "a service on a listener of ours is a mistake",
  edit(three, "http://127.0.0.1:8003", "http://127.0.0.1:8110"),
  {
    mark: '"http://127.0.0.1:8110"',
    message: /the address 127.0.0.1:8110 is taken twice/,
    hint: /port/,
    related: "127.0.0.1:8110",
  },
);
const router = (name: string, stateDir: string, port: number) =>
  `---\napiVersion: holdfast/v1\nkind: Router\nmetadata:\n  name: ${name}\nspec:\n  region: eu-west\n  plane:\n    haproxy:\n      http: 127.0.0.1:${port}\n      stateDir: ${stateDir}\n`;
check(
  "a router with the name of an edge is told with both places",
  three + router("edge-west", "./h", 8119),
  {
    mark: "edge-west",
    message: /the name "edge-west" of a Router is taken twice/,
    hint: /its own name/,
    related: "edge-west",
  },
);
check("a router on an edge's port is told with both places", three + router("haproxy-west", "./h", 8110), {
  mark: "127.0.0.1:8110",
  message: /the address 127.0.0.1:8110 is taken twice/,
  hint: /a port of its own/,
  related: "127.0.0.1:8110",
});
check(
  "a router in a member's data folder is told",
  three + router("haproxy-west", "./data/pg-west/h", 8119),
  {
    mark: "./data/pg-west/h",
    message: /lie in one another/,
    hint: /a folder of its own/,
    related: "./data/pg-west",
  },
);
check(
  "a data folder inside another one is told with both places",
  edit(three, "./data/pg-north", "./data/pg-west/inner"),
  {
    mark: "./data/pg-west/inner",
    message: /lie in one another/,
    hint: /seeding a member empties its folder/,
    related: "./data/pg-west",
  },
);
check(
  "a control store inside a data folder is told with both places",
  edit(three, "./state/store.db", "./data/pg-west/store.db"),
  {
    mark: "./data/pg-west",
    message: /lie in one another/,
    hint: /seeding a member empties its folder/,
    related: "./data/pg-west/store.db",
  },
);
check(
  "a member outside its data store's jurisdictions is refused",
  edit(sovereignty, "      region: eu-central\n", "      region: us-east\n"),
  {
    mark: "us-east",
    message: /member "pg-eu-central" is in jurisdiction "us"/,
    hint: /eu only/,
    related: "jurisdictions",
  },
);
check(
  "an endpoint where the service may not be served is refused",
  edit(sovereignty, "{ region: eu-central,", "{ region: us-east,"),
  {
    mark: "us-east",
    message: /region "us-east" may not serve "records-eu"/,
    hint: /allows eu-west, eu-central/,
    related: "sovereignty",
  },
);
check(
  "a witness holds no data",
  edit(
    exampleText("two-regions-and-witness.yaml"),
    "      region: eu-central\n",
    "      region: eu-witness\n",
  ),
  {
    mark: "eu-witness",
    message: /is in witness "eu-witness"/,
    hint: /only watches and votes/,
    related: "witness",
  },
);
check("a journey ends before it begins again", edit(three, "timeout: 2s", "timeout: 6s"), {
  mark: "6s",
  message: /timeout 6s is longer than every 5s/,
  hint: /ends before/,
});
check(
  "a key that is written twice is told at the second",
  edit(three, "  mode: auto\n", "  mode: auto\n  mode: observe\n"),
  {
    mark: "mode",
    message: /key mode is written twice/,
    hint: /one of the two/,
  },
);
check(
  "a second Topology is told with the first",
  `${three}---\napiVersion: holdfast/v1\nkind: Topology\nmetadata: { name: other }\nspec: {}\n`,
  {
    mark: "Topology",
    message: /a second Topology/,
    hint: /one file describes one/,
    related: "Topology",
  },
);
check("merge keys are refused as any unknown key is", edit(three, "  mode: auto\n", "  <<: {}\n"), {
  mark: "<<",
  message: /unknown key "<<"/,
  hint: /mode/,
});

test("anchors may be used", () => {
  const text = edit(
    edit(three, "availability: 99.99%", "availability: &a 99.99%"),
    "rto: 15s",
    "rto: 15s # *a",
  );
  assert.deepEqual(topologyOf(text).services, topologyOf(three).services);
});

test("the same folder on two hosts is two folders", () => {
  const spread = edit(
    edit(three, "address: 127.0.0.1:5421", "address: 10.0.0.2:5421"),
    "./data/pg-central",
    "./data/pg-west",
  );
  assert.equal(compile(spread).kind, "valid");
});

test("all problems of a file are told at once, in the order of the text, in broken documents too", () => {
  const broken = [
    ["leaseProfile: balanced", "leaseProfile: blanced"],
    ["  agent: 127.0.0.1:7401", "  agent: 7401"],
    [
      "jurisdiction: eu\n  failureDomains:\n    power: grid-central",
      "jurisdiction: EU\n  failureDomains: [power",
    ],
    ["rto: 15s", "rto: soon"],
    ["region: eu-north\n  http", "region: eu-nort\n  http"],
  ].reduce((text, [from, to]) => edit(text, from as string, to as string), three);
  const compiled = compile(broken);
  assert.ok(compiled.kind === "invalid");
  const told = compiled.problems.map(({ message }) => message);
  for (const expected of [
    'found "blanced"',
    "found the number 7401",
    'found "EU"',
    'found "soon"',
    'unknown Region "eu-nort"',
  ]) {
    assert.ok(told.includes(expected), `${expected} is not among\n${told.join("\n")}`);
  }
  const lines = compiled.problems.map(({ line }) => line);
  assert.deepEqual(
    lines,
    [...lines].sort((a, b) => a - b),
  );
});

test("a quote that is never closed is told where it begins, and hides no names from the documents before it", () => {
  const text = edit(
    three,
    "jurisdiction: eu\n  failureDomains:\n    power: grid-central",
    'jurisdiction: "eu',
  );
  const compiled = compile(text);
  assert.ok(compiled.kind === "invalid");
  const [quote] = compiled.problems.filter(({ message }) => /quote is never closed/.test(message));
  assert.equal(text.split("\n")[quote!.line - 1], '  jurisdiction: "eu');
  assert.equal(quote!.column, 17);
  assert.ok(!compiled.problems.some(({ message }) => /unknown|the file has no/.test(message)));
});

test("an empty file is told what it lacks", () => {
  for (const text of ["", "# nothing\n", "---\n---\n", "~\n"]) {
    const compiled = compile(text);
    assert.ok(compiled.kind === "invalid");
    assert.deepEqual(
      compiled.problems.map(({ message }) => message),
      ["the file has no Topology", "the file has no Region"],
    );
  }
});

test("a text that is deep, long or full of anchors is refused, not hung on", () => {
  const bomb = `a: &a [${"x,".repeat(100)}]\n${"bcdefghij"
    .split("")
    .map((key, index) => `${key}: &${key} [${`*${"abcdefghij"[index]},`.repeat(100)}]\n`)
    .join("")}`;
  for (const text of ["[".repeat(50_000), `${"{a: ".repeat(20_000)}`, "x".repeat(1_000_001), bomb]) {
    assert.equal(compile(text).kind, "invalid");
  }
});

test("any topology, written and compiled, is itself again", () => {
  fc.assert(
    fc.property(topologyArb, (topology) => {
      const { digest: _, ...compiled } = topologyOf(writeTopology(topology, "a comment\nof two lines"));
      // Which regions may serve is a set, in the order of the regions.
      assert.deepEqual(compiled, topology);
    }),
    { numRuns: 200 },
  );
});

test("any mutation of a valid file is taken or told with places in the text; nothing is thrown", () => {
  const pieces = [
    "",
    " ",
    "\n",
    "\t",
    ":",
    "- ",
    "[",
    "}",
    "---\n",
    "*a",
    "&a ",
    "!x ",
    "null",
    "0",
    '"',
    "'",
    "|",
    "é",
    "\u0000",
    "__proto__: 1",
  ];
  const mutation = fc.record({
    at: fc.nat({ max: three.length }),
    drop: fc.nat({ max: 40 }),
    piece: fc.oneof(
      fc.constantFrom(...pieces),
      fc.nat({ max: three.length - 40 }).map((from) => three.slice(from, from + 40)),
    ),
  });
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) => {
      const text = mutations.reduce(
        (now, { at, drop, piece }) => now.slice(0, at) + piece + now.slice(at + drop),
        three,
      );
      const compiled = compile(text);
      if (compiled.kind === "valid") return;
      assert.ok(compiled.problems.length > 0);
      const lines = text.split(/\r\n|\r|\n/);
      for (const { line, column, length, message } of compiled.problems) {
        assert.ok(1 <= line && line <= lines.length, `line ${line}`);
        assert.ok(1 <= column && column <= lines[line - 1]!.length + 1, `column ${column} of line ${line}`);
        assert.ok(1 <= length);
        assert.notEqual(message, "");
      }
    }),
    { numRuns: 300 },
  );
});
