/** Classes and levels as they are written: what they compile to, and what is told of a slip. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compile, edit, exampleNames, exampleText, topologyOf } from "./text.ts";

const words = `
  classes:
    - name: checkout
      match: { methods: [POST], paths: [/orders, "/orders/*"] }
      priority: critical
      latencyTarget: 300ms
    - name: crawlers
      match: { header: { name: X-Crawler } }
      priority: sheddable
    - name: search
      match: { paths: ["/search*"] }
      divertTo: [eu-central]
  levels:
    automatic: 1
    flags: { recommendations: true, lite: false }
    page: { body: "<h1>back soon</h1>" }
    steps:
      - name: lean
        flags: { recommendations: false }
        classes: { crawlers: refuse, search: divert }
        saves: 30%
      - name: essential
        mode: ro
        flags: { lite: true }
        classes: { checkout: queue, search: stale }
        saves: 60%
      - name: closed
        mode: static
`;
const plain = exampleText("three-regions.yaml");
const text = edit(
  edit(plain, "  rules:\n", "  rules:\n    staleMax: 10m\n"),
  "  endpoints:\n",
  `${words.slice(1)}  endpoints:\n`,
);

test("classes and levels compile to what edges go by, each level written out whole", () => {
  const [service] = topologyOf(text).services;
  assert.deepEqual(service?.classes, [
    {
      name: "checkout",
      priority: "critical",
      methods: ["POST"],
      paths: ["/orders", "/orders/*"],
      latencyTargetMs: 300,
    },
    { name: "crawlers", priority: "sheddable", header: { name: "x-crawler", value: null } },
    { name: "search", priority: "standard", paths: ["/search*"], divertTo: ["eu-central"] },
  ]);
  const lean = { crawlers: "refuse", search: "divert" };
  const essential = { ...lean, search: "stale", checkout: "queue" };
  assert.deepEqual(service?.levels, {
    automatic: 1,
    flags: { recommendations: true, lite: false },
    page: { status: 200, contentType: "text/html; charset=utf-8", body: "<h1>back soon</h1>" },
    steps: [
      { name: "lean", mode: "rw", flags: { recommendations: false, lite: false }, classes: lean, saves: 0.3 },
      {
        name: "essential",
        mode: "ro",
        flags: { recommendations: false, lite: true },
        classes: essential,
        saves: 0.6,
      },
      {
        name: "closed",
        mode: "static",
        flags: { recommendations: false, lite: true },
        classes: essential,
        saves: 0.6,
      },
    ],
  });
});

test("a file without classes and levels has the digest that it had before there were such words", () => {
  const before = [
    "1377e5d65dea50e092eb3b67bd98a1f6fc0914511cac8b72c61144d4b08a28a8",
    "682c13aec0a9509168b67449f66ed632594165b81fc5a420eb28f49ab0b35ea5",
    "e665dc290427495f960694e848060dc5f74c26ecff162be5808318f4e48061bb",
  ];
  assert.deepEqual(
    exampleNames.map((name) => topologyOf(exampleText(name)).digest),
    before,
  );
  assert.notEqual(topologyOf(text).digest, topologyOf(edit(text, "saves: 30%", "saves: 31%")).digest);
});

/** One edit, one problem: the marked text, what is said, what is offered. */
const slips: readonly (readonly [from: string, to: string, mark: string, message: RegExp, hint: RegExp])[] = [
  ["priority: critical", "priority: crtical", "crtical", /found "crtical"/, /did you mean "critical"\?/],
  ["crawlers: refuse", "crawler: refuse", "refuse", /unknown class "crawler"/, /did you mean "crawlers"\?/],
  ["crawlers: refuse", "crawlers: refused", "refused", /found "refused"/, /did you mean "refuse"\?/],
  [
    "{ recommendations: false }",
    "{ recomendations: false }",
    "false",
    /unknown flag/,
    /did you mean "recommendations"\?/,
  ],
  [
    "divertTo: [eu-central]",
    "divertTo: [eu-centrl]",
    "eu-centrl",
    /unknown Region/,
    /did you mean "eu-central"\?/,
  ],
  ["divertTo: [eu-central]", "divertTo: []", "divert", /does not say where it is diverted to/, /divertTo/],
  ["automatic: 1", "automatic: 4", "4", /there is no level 4/, /it has 3/],
  ["mode: static", "mode: rw", "rw", /level 3 is rw, and the one below is ro/, /gives nothing back/],
  ["saves: 60%", "saves: 10%", "10%", /level 2 saves less than the one below/, /level 0/],
  ["staleMax: 10m", "staleMax: 0s", "stale", /nothing is kept of "orders"/, /rules.staleMax/],
  [
    "- name: search",
    "- name: crawlers",
    "crawlers",
    /class "crawlers" is taken twice/,
    /unique within their service/,
  ],
  ["- name: closed", "- name: lean", "lean", /level "lean" is taken twice/, /unique within their service/],
  ["- name: checkout", "- name: other", "other", /no class is called "other"/, /what no class matches/],
  ['["/search*"]', '["search*"]', "search*", /found "search\*"/, /a path without its query/],
  ['["/search*"]', '["/search?q=*"]', "/search?q=*", /found "\/search\?q=\*"/, /a path without its query/],
  ["paths:", "path:", "path", /unknown key "path"/, /did you mean "paths"\?/],
];

for (const [from, to, mark, message, hint] of slips)
  test(`a slip is told with its place: ${to}`, () => {
    const slipped = edit(text, from, to);
    const compiled = compile(slipped);
    assert.ok(compiled.kind === "invalid", "it was taken for valid");
    const told = compiled.problems.find((problem) => message.test(problem.message));
    assert.ok(told, compiled.problems.map((problem) => problem.message).join("\n"));
    assert.match(told.hint, hint);
    const line = slipped.split("\n")[told.line - 1] as string;
    const marked = line.slice(told.column - 1, told.column - 1 + told.length);
    assert.ok(marked === mark || marked === `"${mark}"`, `it marks ${marked}`);
  });

test("a class that matches everything hides those behind it, and that is told", () => {
  const compiled = compile(edit(text, "      match: { header: { name: X-Crawler } }\n", ""));
  assert.ok(compiled.kind === "invalid");
  assert.match(compiled.problems[0]?.message ?? "", /class "crawlers" matches everything/);
  assert.match(compiled.problems[0]?.hint ?? "", /behind "search"/);
});
