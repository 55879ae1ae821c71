/** What `holdfast check` finds by arithmetic before anything runs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Topology } from "../../../src/core/model/topology.ts";
import { type Demand, shortage } from "../../../src/core/spec/capacity.ts";
import { type Finding, type FindingCode, findingCodes } from "../../../src/core/spec/finding.ts";
import { lint } from "../../../src/core/spec/lint.ts";
import { assumptionsFor, recoveryFrom } from "../../../src/core/spec/recovery.ts";
import { topologyArb } from "./arbitrary.ts";
import { dropDocument, edit, exampleNames, exampleText, topologyOf } from "./text.ts";

const three = exampleText("three-regions.yaml");
const two = exampleText("two-regions-and-witness.yaml");
const provoked = new Set<FindingCode>();

function findings(text: string, roundTripMs?: number): readonly Finding[] {
  const topology = topologyOf(text);
  const found = lint(topology, roundTripMs === undefined ? assumptionsFor(topology.store) : { roundTripMs });
  for (const { code } of found) provoked.add(code);
  return found;
}

/** After the edits there is a finding of this code and severity whose sentence reads like this. */
function check(
  name: string,
  text: string,
  expected: {
    code: FindingCode;
    severity: Finding["severity"];
    sentence: RegExp;
    advice?: RegExp;
    roundTripMs?: number;
  },
) {
  test(name, () => {
    const found = findings(text, expected.roundTripMs);
    const one = found.find(
      ({ code, sentence }) => code === expected.code && expected.sentence.test(sentence),
    );
    assert.ok(one, found.map(({ code, sentence }) => `${code}: ${sentence}`).join("\n"));
    assert.equal(one.severity, expected.severity);
    if (expected.advice) assert.match(one.advice, expected.advice);
  });
}

function without(text: string, code: FindingCode): void {
  assert.ok(!findings(text).some((finding) => finding.code === code), `${code} was found`);
}

for (const name of exampleNames) {
  test(`the example ${name} keeps its promises`, () => {
    assert.deepEqual(
      findings(exampleText(name)).filter(({ severity }) => severity === "error"),
      [],
    );
  });
}

test("the worst case of each profile keeps promise P1 on the embedded store", () => {
  const worst = (profile: string) =>
    recoveryFrom("silence", topologyOf(edit(three, "leaseProfile: balanced", `leaseProfile: ${profile}`)), {
      roundTripMs: 2,
    });
  // 1500 * 1.01 + vote 2 + seal 102 + claim 2 + promote 660 + commit 2 + attach 508 + route 50
  assert.equal(worst("fast").detectMs, 1517);
  assert.equal(worst("fast").recoverMs, 2841);
  assert.equal(worst("balanced").recoverMs, 6376);
  assert.ok(worst("fast").recoverMs < 3000 && worst("balanced").recoverMs < 8000);
});

test("on etcd the worst case says what it cannot reckon with: an election", () => {
  const lease = (text: string) =>
    recoveryFrom("silence", topologyOf(text), { roundTripMs: 2 }).steps[0]?.because ?? "";
  const onEtcd = three.replace(
    / {4}embedded:\n {6}path: .*\n/,
    "    etcd:\n      endpoints: [http://10.0.0.1:2379]\n",
  );
  assert.match(lease(onEtcd), /if etcd must elect/);
  assert.doesNotMatch(lease(three), /elect/);
});

test("a crash waits for no lease: its worst case is the same for every profile", () => {
  for (const profile of ["fast", "cautious"]) {
    const topology = topologyOf(edit(three, "leaseProfile: balanced", `leaseProfile: ${profile}`));
    assert.equal(recoveryFrom("crash", topology, { roundTripMs: 2 }).recoverMs, 1526);
  }
});

check(
  "an RTO below the worst case is an error that names the profile that fits",
  edit(three, "rto: 15s", "rto: 3s"),
  {
    code: "recovery-exceeds-rto",
    severity: "error",
    sentence: /recovered in 6.38 s at worst .* more than its RTO of 3 s; a crash alone would fit/,
    advice: /leaseProfile: fast would fit/,
  },
);
check("an RTO that no profile keeps is told what can be promised", edit(three, "rto: 15s", "rto: 1s"), {
  code: "recovery-exceeds-rto",
  severity: "error",
  sentence: /RTO of 1 s$/,
  advice: /promise 2.84 s or more/,
});
check("a slow round trip counts in every step that uses the store", edit(two, "rto: 15s", "rto: 10s"), {
  code: "recovery-exceeds-rto",
  severity: "error",
  sentence: /recovered in 14.4 s/,
  roundTripMs: 1000,
});
check(
  "a service without data stores is judged by one try of an edge",
  edit(edit(three, "  dataStores: [orders-db]\n", ""), "rto: 15s", "rto: 1s"),
  {
    code: "recovery-exceeds-rto",
    severity: "error",
    sentence: /after one try of 2 s/,
    advice: /tryTimeout below 1 s/,
  },
);
check("what is left of an RTO is told", three, {
  code: "recovery-within-rto",
  severity: "info",
  sentence: /leaves 8.62 s/,
});
check("an edge repeats elsewhere what needs no data store", edit(three, "  dataStores: [orders-db]\n", ""), {
  code: "recovery-stateless",
  severity: "info",
  sentence: /after one try of 2 s/,
});
check("holding shorter than the outage is a warning", edit(three, "holdMax: 10s", "holdMax: 5s"), {
  code: "hold-too-short",
  severity: "warning",
  sentence: /5 s at most, writes resume after 6.38 s/,
  advice: /holdMax to 7s/,
});
check("99.99 % is 4.32 minutes a month", three, {
  code: "availability-budget",
  severity: "info",
  sentence: /4.32 minutes/,
});
check("six nines do not survive one failover", edit(three, "99.99%", "99.9999%"), {
  code: "availability-below-one-failover",
  severity: "warning",
  sentence: /99.9999 % leaves 2.59 s/,
});
check(
  "two regions that cannot carry the load of three are an error for each loss",
  edit(three, "requestsPerSecond: 3000", "requestsPerSecond: 4500"),
  {
    code: "capacity-short",
    severity: "error",
    sentence:
      /without eu-west, orders needs 4500 requests\/s and eu-central and eu-north can carry 4000: 500 too few/,
  },
);
const degradable = edit(
  edit(three, "requestsPerSecond: 3000", "requestsPerSecond: 4500"),
  "  endpoints:\n",
  "  levels: { automatic: 1, steps: [{ name: lean, saves: 20% }, { name: bare, saves: 90% }] }\n  endpoints:\n",
);
check("a level that edges take by themselves, and that saves enough, makes of it a warning", degradable, {
  code: "capacity-degraded",
  severity: "warning",
  sentence:
    /without eu-west, orders needs 4500 requests\/s and eu-central and eu-north can carry 4000: orders at level 1 would fit/,
  advice: /drill/,
});
check(
  "a level that saves too little, or that edges do not take, does not help",
  edit(degradable, "saves: 20%", "saves: 10%"),
  { code: "capacity-short", severity: "error", sentence: /without eu-west.*500 too few/ },
);
check(
  "too little capacity from the start is told once",
  edit(three, "requestsPerSecond: 3000", "requestsPerSecond: 9000"),
  {
    code: "capacity-short",
    severity: "error",
    sentence: /with every region there, orders needs 9000/,
  },
);
check(
  "capacity that nobody declared is counted as enough, and said to be",
  edit(three, "  capacity:\n    requestsPerSecond: 2000\n", ""),
  {
    code: "capacity-undeclared",
    severity: "info",
    sentence: /counted as enough/,
  },
);
check(
  "a service in one region only does not survive its loss",
  edit(
    edit(three, '    - { region: eu-central, url: "http://127.0.0.1:8002", healthPath: /healthz }\n', ""),
    '    - { region: eu-north, url: "http://127.0.0.1:8003", healthPath: /healthz }\n',
    "",
  ),
  {
    code: "sovereignty-unreachable",
    severity: "error",
    sentence: /without eu-west/,
    advice: /endpoint in eu-central or eu-north/,
  },
);
check(
  "requests that a limit keeps in one region do not survive its loss, though the service does",
  edit(
    three,
    "  dataStores: [orders-db]",
    "  sovereignty: { requests: { limits: [{ when: { path: { prefix: /eu } }, regions: [eu-west] }] } }\n  dataStores: [orders-db]",
  ),
  {
    code: "limit-unreachable",
    severity: "warning",
    sentence: /without eu-west the requests of 1 of its limits/,
    advice: /add an endpoint/,
  },
);
check(
  "a deadline that ends holds before writes resume is told like a short hold",
  edit(three, "  dataStores: [orders-db]", "  dataStores: [orders-db]\n  deadline: 100ms"),
  { code: "hold-too-short", severity: "warning", sentence: /for 100 ms at most/, advice: /set deadline to/ },
);
check(
  "a sovereignty of one region is told so",
  edit(
    edit(
      edit(three, '    - { region: eu-central, url: "http://127.0.0.1:8002", healthPath: /healthz }\n', ""),
      '    - { region: eu-north, url: "http://127.0.0.1:8003", healthPath: /healthz }\n',
      "",
    ),
    "  dataStores: [orders-db]",
    "  sovereignty: { regions: [eu-west] }\n  dataStores: [orders-db]",
  ),
  {
    code: "sovereignty-unreachable",
    severity: "error",
    sentence: /runs nowhere else/,
    advice: /its sovereignty allows this one region/,
  },
);
check(
  "a data store with one promotable member does not survive its loss",
  edit(
    edit(three, "dataDir: ./data/pg-central", "dataDir: ./data/pg-central\n      promotable: false"),
    "dataDir: ./data/pg-north",
    "dataDir: ./data/pg-north\n      promotable: false",
  ),
  {
    code: "data-unreachable",
    severity: "error",
    sentence: /without eu-west no member is left/,
  },
);
check(
  "a primary where no service runs is a warning",
  edit(three, '    - { region: eu-north, url: "http://127.0.0.1:8003", healthPath: /healthz }\n', ""),
  {
    code: "stack-apart",
    severity: "warning",
    sentence: /pg-north may become primary in eu-north/,
  },
);
check("a region that serves without an edge is a warning", three.slice(0, three.lastIndexOf("---")), {
  code: "edge-missing",
  severity: "warning",
  sentence: /no edge/,
});
check(
  "two of three regions on one grid take the majority with them",
  edit(three, "grid-central", "grid-west"),
  {
    code: "shared-domain-majority",
    severity: "error",
    sentence:
      /eu-west and eu-central share power: grid-west: when it fails, 1 of 3 votes are left and 2 are needed/,
  },
);
check("all copies on one grid fail together", edit(two, "grid-central", "grid-west"), {
  code: "shared-domain-data",
  severity: "error",
  sentence: /every member that may become primary is there/,
});
check(
  "two of five regions on one grid are a warning",
  edit(exampleText("sovereignty.yaml"), "grid-caiso", "grid-west"),
  {
    code: "shared-domain",
    severity: "warning",
    sentence: /eu-west and us-west share power: grid-west/,
  },
);
check("an even number of votes is told", dropDocument(exampleText("sovereignty.yaml"), "ca-witness"), {
  code: "voters-even",
  severity: "info",
  sentence: /4 votes survive the loss of 1, as 3 would/,
});

const pair = dropDocument(two, "eu-witness");
check("two votes are an error that says why", pair, {
  code: "voters-two",
  severity: "error",
  sentence: /the loss of either region stops automatic failover/,
  advice: /role: witness/,
});
check(
  "one vote decides nothing when it is gone",
  "apiVersion: holdfast/v1\nkind: Topology\nmetadata: {name: a}\nspec: {}\n---\napiVersion: holdfast/v1\nkind: Region\nmetadata: {name: r}\nspec: {jurisdiction: eu, agent: 'a:1'}\n",
  {
    code: "voters-one",
    severity: "error",
    sentence: /one vote/,
  },
);

const asynchronous = edit(
  three,
  "    synchronous:\n      acknowledgements: 1",
  "    asynchronous:\n      rpo: 5s",
);
check("nothing may be lost and replication is asynchronous: an error", asynchronous, {
  code: "rpo-zero-asynchronous",
  severity: "error",
  sentence: /may lose 5 s/,
  advice: /make orders-db synchronous/,
});
check("an RPO below that of the data store is an error", edit(asynchronous, "rpo: 0s", "rpo: 2s"), {
  code: "rpo-exceeded",
  severity: "error",
  sentence: /may lose 2 s, but orders-db .* may lose 5 s/,
});
check(
  "an RPO that looks and publications cannot keep up with holds writes on a quiet day",
  edit(
    edit(three, "    synchronous:\n      acknowledgements: 1", "    asynchronous:\n      rpo: 300ms"),
    "rpo: 0s",
    "rpo: 1s",
  ),
  {
    code: "rpo-too-short",
    severity: "warning",
    sentence: /half of its RPO of 300 ms is shorter/,
    advice: /to \d+ms or more, or make it synchronous/,
  },
);
test("one that they can keep up with does not", () => without(asynchronous, "rpo-too-short"));
test("an RPO as long as that of the data store is kept", () =>
  without(edit(asynchronous, "rpo: 0s", "rpo: 5s"), "rpo-exceeded"));
check(
  "waiting for more standbys than there are is an error",
  edit(three, "acknowledgements: 1", "acknowledgements: 3"),
  {
    code: "acknowledgements-impossible",
    severity: "error",
    sentence: /waits for 3 standbys, there are 2/,
  },
);
check("waiting for every standby is a warning", edit(three, "acknowledgements: 1", "acknowledgements: 2"), {
  code: "acknowledgements-all",
  severity: "warning",
  sentence: /every standby \(2\)/,
  advice: /acknowledgements to 1/,
});
check(
  "a single copy is an error",
  edit(
    edit(three, / {4}- name: pg-central\n(?: {6}.*\n)+/.exec(three)![0], ""),
    / {4}- name: pg-north\n(?: {6}.*\n)+/.exec(three)![0],
    "",
  ),
  {
    code: "copy-single",
    severity: "error",
    sentence: /nothing to fail over to/,
  },
);
check(
  "several copies in one region are a warning",
  edit(three, "      region: eu-north\n      address", "      region: eu-west\n      address"),
  {
    code: "members-together",
    severity: "warning",
    sentence: /3 members are in 2 regions/,
  },
);
check("a data store without backups is told that standbys are none", three, {
  code: "backup-none",
  severity: "info",
  sentence: /no backups.*DROP TABLE/,
});
test("a data store whose backups are asked for is told nothing of them", () => {
  const asking = "  backups: { region: eu-north, folder: /srv/backups }\n  members: # the first";
  without(edit(three, "  members: # the first", asking), "backup-none");
});
check(
  "the fast profile over a far store is a warning",
  edit(two, "leaseProfile: balanced", "leaseProfile: fast"),
  {
    code: "store-fast-but-far",
    severity: "warning",
    sentence: /120 ms/,
    roundTripMs: 120,
  },
);
check("two etcd endpoints are a warning", edit(two, ', "http://127.0.0.1:32379"', ""), {
  code: "store-sites",
  severity: "warning",
  sentence: /2 endpoints/,
});
check(
  "an embedded store under agents on several hosts is an error",
  edit(three, "agent: 127.0.0.1:7403", "agent: 10.0.0.3:7403"),
  {
    code: "store-one-machine",
    severity: "error",
    sentence: /2 hosts/,
  },
);
check("a mode that waits for people says so", edit(three, "mode: auto", "mode: approve"), {
  code: "mode-waits",
  severity: "info",
  sentence: /waits for a person/,
});

test("every code of the register can be found, and no other", () => {
  assert.deepEqual([...provoked].sort(), Object.keys(findingCodes).sort());
});

test("lint takes any topology, and puts errors first", () => {
  const rank = { error: 0, warning: 1, info: 2 };
  fc.assert(
    fc.property(topologyArb, (topology) => {
      const found = lint({ ...topology, digest: "" } satisfies Topology, { roundTripMs: 10 });
      const ranks = found.map(({ severity }) => rank[severity]);
      assert.deepEqual(ranks, [...ranks].sort());
      for (const { numbers } of found)
        for (const value of Object.values(numbers)) assert.ok(Number.isFinite(value));
    }),
  );
});

test("demand finds a place exactly when no set of services outgrows its regions (Hall)", () => {
  const regions = ["a", "b", "c", "d"];
  const demandArb = fc.record({
    service: fc.constant("s"),
    rps: fc.integer({ min: 0, max: 6 }),
    regions: fc.subarray(regions, { minLength: 1 }),
  });
  const capacityArb = fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 4, maxLength: 4 });
  fc.assert(
    fc.property(
      fc.array(demandArb, { maxLength: 6 }),
      capacityArb,
      (demands: readonly Demand[], capacities) => {
        const capacity = new Map(regions.map((region, index) => [region, capacities[index]!]));
        let outgrown = false;
        for (let set = 1; set < 2 ** demands.length; set++) {
          const chosen = demands.filter((_, index) => set & (1 << index));
          const room = [...new Set(chosen.flatMap((demand) => demand.regions))];
          const rps = chosen.reduce((total, demand) => total + demand.rps, 0);
          if (rps > room.reduce((total, region) => total + capacity.get(region)!, 0)) outgrown = true;
        }
        const found = shortage(demands, capacity);
        assert.equal(found !== null, outgrown);
        if (found) assert.ok(found.demandRps > found.capacityRps);
      },
    ),
    { numRuns: 500 },
  );
});
