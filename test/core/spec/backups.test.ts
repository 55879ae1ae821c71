/** Backups in a topology: what is asked for, where they may be, and what a change of it does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { diffTopologies } from "../../../src/core/spec/diff.ts";
import { compile, edit, exampleText, topologyOf } from "./text.ts";

const three = exampleText("three-regions.yaml");
const asking = (backups: string, text = three) =>
  edit(text, "  members: # the first", `  backups: ${backups}\n  members: # the first`);

test("what is not said of backups has the age of a daily one, and of a weekly test", () => {
  const { dataStores } = topologyOf(asking("{ region: eu-north, folder: /srv/backups }"));
  assert.deepEqual(dataStores[0]?.backups, {
    region: "eu-north",
    folder: "/srv/backups",
    maxAgeMs: 26 * 3_600_000,
    testMaxAgeMs: 8 * 86_400_000,
  });
  assert.ok(!("backups" in (topologyOf(three).dataStores[0] ?? {})));
});

function refused(what: string, text: string, message: RegExp, hint: RegExp): void {
  test(what, () => {
    const compiled = compile(text);
    assert.ok(compiled.kind === "invalid");
    const [problem] = compiled.problems;
    assert.match(problem?.message ?? "", message);
    assert.match(problem?.hint ?? "", hint);
    assert.equal(compiled.problems.length, 1);
  });
}

refused(
  "backups where no member is are refused: PostgreSQL would let nobody copy it there",
  edit(
    asking("{ region: eu-north, folder: /srv/backups }"),
    / {4}- name: pg-north\n(?: {6}.*\n)+/.exec(three)![0],
    "",
  ),
  /kept in "eu-north", where the data store has no member/,
  /eu-west, eu-central/,
);
refused(
  "backups below a data folder are refused: seeding the member would remove them",
  asking("{ region: eu-north, folder: ./data/pg-north/backups }"),
  /lie in one another/,
  /seeding a member empties its folder/,
);
refused(
  "backups of which none may be younger than nothing are refused",
  asking("{ region: eu-north, folder: /srv/backups, maxAge: 0s }"),
  /maxAge|0s|1 ms|shorter/,
  /.*/,
);

test("backups that are looked for elsewhere are told to be left where they were", () => {
  const before = topologyOf(asking("{ region: eu-north, folder: /srv/backups }"));
  const after = topologyOf(asking("{ region: eu-west, folder: /srv/backups, maxAge: 2d }"));
  assert.deepEqual(
    diffTopologies(before, after).map(({ path, beware }) => [path, beware]),
    [
      [
        "DataStore/orders-db backups.region",
        "backups that are there stay there: nobody looks at them any more",
      ],
      ["DataStore/orders-db backups.maxAgeMs", ""],
    ],
  );
});
