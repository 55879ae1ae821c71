/** Rules of traffic in a topology: compiled into tables, absent unless asked for, and refused where they cannot hold. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TrafficRules } from "../../../src/core/model/traffic.ts";
import { compileTopology } from "../../../src/core/spec/spec.ts";
import { trafficFields } from "../../../src/core/spec/traffic.ts";
import { compile, edit, exampleText, topologyOf } from "./text.ts";

const three = exampleText("three-regions.yaml");

/** Lines below the `spec` of the service. */
function withService(...lines: readonly string[]): string {
  return edit(
    three,
    "  dataStores: [orders-db]",
    `  dataStores: [orders-db]\n${lines.map((line) => `  ${line}`).join("\n")}`,
  );
}

function trafficOf(text: string): TrafficRules | undefined {
  return topologyOf(text).services[0]?.traffic;
}

test("nothing is there unless it is asked for, and each part has its defaults", () => {
  assert.equal(trafficOf(three), undefined);
  assert.ok(!Object.hasOwn(topologyOf(three).services[0] ?? {}, "traffic"));
  assert.deepEqual(trafficOf(withService("deadline: 5s")), { deadlineMs: 5000 });
  assert.deepEqual(
    trafficOf(
      withService(
        "balance: { pick: latency }",
        "affinity: { cookie: { name: sid } }",
        "slowStart: 30s",
        "outliers: {}",
        "checks: { path: /ready }",
        "bulkhead: { requests: 20 }",
        "hedge: { after: 99% }",
      ),
    ),
    {
      balance: { regions: "local-first", pick: "latency", overprovisioning: 1.4, panicBelow: 0.5 },
      affinity: { kind: "cookie", name: "sid" },
      slowStartMs: 30_000,
      outliers: { failures: 5, count: "gateway", ejectionMs: 500, ejectionMaxMs: 10_000, shareMax: 0.5 },
      checks: {
        path: "/ready",
        everyMs: 2000,
        jitter: 0.2,
        timeoutMs: 1000,
        healthyAfter: 2,
        unhealthyAfter: 3,
      },
      bulkhead: { connections: 512, pending: 1024, requests: 20 },
      hedge: { after: 0.99 },
    } satisfies TrafficRules,
  );
});

test("what is not asked for leaves the digest of a file as it was before there was a word for it", () => {
  let digested = "";
  const source = { text: three, file: "holdfast.yaml", baseDir: "/srv" };
  compileTopology(source, (text) => {
    digested = text;
    return "";
  });
  assert.match(digested, /"rules":/);
  for (const word of [...Object.keys(trafficFields), "requests"])
    assert.ok(!digested.includes(`"${word}":`), word);
});

test("limits of requests become regions, and only those that may serve the service", () => {
  const limits = [
    "- { when: { header: { name: X-Tenant, value: acme } }, jurisdictions: [eu] }",
    "- { when: { network: { cidr: 10.2.0.0/16 } }, regions: [eu-west, eu-north] }",
  ];
  const text = withService(
    "sovereignty:",
    "  regions: [eu-west, eu-central]",
    "  requests:",
    "    others: refuse",
    "    limits:",
    ...limits.map((line) => `      ${line}`),
  );
  // A third endpoint stands where the service may not be.
  const narrowed = edit(
    text,
    '    - { region: eu-north, url: "http://127.0.0.1:8003", healthPath: /healthz }\n',
    "",
  );
  assert.deepEqual(trafficOf(narrowed)?.sovereignty, {
    others: "refuse",
    limits: [
      { when: { kind: "header", name: "X-Tenant", value: "acme" }, regions: ["eu-west", "eu-central"] },
      { when: { kind: "network", cidr: "10.2.0.0/16" }, regions: ["eu-west"] },
    ],
  });
});

const requests = (limit: string) => `sovereignty: { requests: { limits: [${limit}] } }`;
const router = `---
apiVersion: holdfast/v1
kind: Router
metadata:
  name: haproxy-west
spec:
  region: eu-west
  plane: { haproxy: { http: "127.0.0.1:9999", stateDir: ./state/haproxy-west } }
`;

test("limits that cannot hold are told with their place", () => {
  const tenant = "{ when: { header: { name: X-T, value: a } }, regions: [eu-west] }";
  const rows: readonly (readonly [string, RegExp])[] = [
    [withService(requests("{ when: { path: { prefix: /eu } } }")), /limits nothing/],
    [
      withService(requests("{ when: { network: { cidr: 10.0.0.0/99 } }, regions: [eu-west] }")),
      /"10\.0\.0\.0\/99" is no network/,
    ],
    [withService(requests("{ when: { moon: {} }, regions: [eu-west] }")), /moon/],
    [
      edit(
        withService(
          "sovereignty: { regions: [eu-west], requests: { limits: [{ when: { path: { prefix: /n } }, regions: [eu-north] }] } }",
        ),
        '    - { region: eu-central, url: "http://127.0.0.1:8002", healthPath: /healthz }\n    - { region: eu-north, url: "http://127.0.0.1:8003", healthPath: /healthz }\n',
        "",
      ),
      /no region that may serve "orders" passes this limit/,
    ],
    [`${withService(requests(tenant)).trimEnd()}\n${router}`, /haproxy cannot tell whose request it is/],
  ];
  assert.equal(compile(withService(requests(tenant))).kind, "valid");
  for (const [text, expected] of rows) {
    const compiled = compile(text);
    assert.equal(compiled.kind, "invalid", String(expected));
    const told = compiled.kind === "invalid" ? compiled.problems : [];
    assert.ok(
      told.some(({ message, path }) => expected.test(message) && path.startsWith("Service/orders")),
      `${expected} in ${told.map(({ path, message }) => `${path}: ${message}`).join("; ")}`,
    );
  }
});
