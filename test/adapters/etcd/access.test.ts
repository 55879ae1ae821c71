/** Who may reach the etcd store: TLS, client certificates, user names and passwords. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type EtcdStoreOptions, openEtcdStore } from "../../../src/adapters/etcd/etcd.ts";
import { StoreError } from "../../../src/ports/store.ts";
import { hasEtcd, leaveOut, startCluster } from "./cluster.ts";

const deadline = () => AbortSignal.timeout(20_000);

test("a member that demands client certificates serves who has one, and nobody else", {
  timeout: 120_000,
}, async (context) => {
  if (!hasEtcd) {
    leaveOut(context);
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), "holdfast-tls-"));
  try {
    const pem = await makeCertificates(folder);
    const other = await makeCertificates(await mkdtemp(join(folder, "other-")));
    // biome-ignore format: flag and value side by side
    await using cluster = await startCluster({
      size: 1,
      scheme: "https",
      flags: [
        "--cert-file", join(folder, "server.crt"), "--key-file", join(folder, "server.key"),
        "--trusted-ca-file", join(folder, "ca.crt"), "--client-cert-auth",
      ],
      controlFlags: [
        "--cacert", join(folder, "ca.crt"), "--cert", join(folder, "client.crt"), "--key", join(folder, "client.key"),
      ],
    });
    await cluster.ready();
    const options = { endpoints: cluster.endpoints, topology: "t", openTimeoutMs: 1500 };
    await worksWith({ ...options, tls: pem, openTimeoutMs: 20_000 });
    await isDenied({ ...options, tls: { ca: pem.ca } }, /client certificate/);
    await isDenied({ ...options, tls: { ...pem, ca: other.ca } }, /right CA/);
    await isDenied({ ...options, tls: { ...other, ca: pem.ca } }, /client certificate/);
    await isDenied(options, /right CA/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("a cluster with authentication serves the user whose role has the prefix, and nobody else", {
  timeout: 120_000,
}, async (context) => {
  if (!hasEtcd) {
    leaveOut(context);
    return;
  }
  await using cluster = await startCluster({ size: 1, flags: ["--auth-token-ttl", "1"] });
  await cluster.ready();
  const root = ["--user", "root:secret"];
  for (const command of [
    ["user", "add", "root:secret"],
    ["user", "add", "agent:hold fast"],
    ["user", "add", "guest:guest"],
    ["role", "add", "holdfast"],
    ["role", "grant-permission", "--prefix=true", "holdfast", "readwrite", "holdfast/t/"],
    ["user", "grant-role", "agent", "holdfast"],
    ["auth", "enable"],
  ])
    await cluster.control(command);
  const options = { endpoints: cluster.endpoints, topology: "t", openTimeoutMs: 20_000 };
  const agent = { user: "agent", password: "hold fast" };
  await worksWith({ ...options, credentials: agent });
  await isDenied(options, /give a user name and password/);
  await isDenied(
    { ...options, credentials: { user: "agent", password: "wrong" } },
    /right user name and password/,
  );
  await isDenied({ ...options, credentials: { user: "guest", password: "guest" } }, /grant the user's role/);
  await isDenied({ ...options, topology: "other", credentials: agent }, /grant the user's role/);

  // A token of a member that has forgotten it, or that has run out, is replaced without a word.
  const store = await openEtcdStore({ ...options, credentials: agent });
  const [member] = cluster.members;
  await member!.kill();
  member!.start();
  const record = await store.get("a", deadline());
  assert.equal(record?.value, "1");
  assert.equal((await store.compareAndSwap("a", record.revision, "2", deadline())).kind, "succeeded");
  // Whatever is changed in users and roles makes all tokens old.
  await cluster.control([...root, "role", "add", "another"]);
  assert.equal((await store.get("a", deadline()))?.value, "2");
  await store.close();
});

/** Writes, reads and watches as a store does. */
async function worksWith(options: EtcdStoreOptions): Promise<void> {
  const store = await openEtcdStore(options);
  try {
    const outcome = await store.compareAndSwap("a", 0, "1", deadline());
    assert.ok(outcome.kind === "succeeded", JSON.stringify(outcome));
    assert.equal((await store.get("a", deadline()))?.value, "1");
    for await (const event of store.watch("", 0, deadline())) {
      assert.ok(event.kind === "snapshot" && event.records.length === 1, JSON.stringify(event));
      break;
    }
    for await (const event of store.watch("", outcome.revision, deadline())) {
      assert.deepEqual(event, { kind: "progress", revision: outcome.revision });
      break;
    }
  } finally {
    await store.close();
  }
}

async function isDenied(options: EtcdStoreOptions, advice: RegExp): Promise<void> {
  await assert.rejects(openEtcdStore(options), (error) => {
    assert.ok(error instanceof StoreError);
    assert.deepEqual([error.code, error.retryable], ["HOLDFAST_STORE_DENIED", false], error.message);
    assert.match(error.message, advice);
    assert.doesNotMatch(error.message, /hold fast|secret/);
    return true;
  });
}

async function makeCertificates(
  folder: string,
): Promise<{ readonly ca: string; readonly certificate: string; readonly key: string }> {
  const openssl = (...parameters: readonly string[]) =>
    execFileSync("openssl", parameters, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    "ca.key",
    "-out",
    "ca.crt",
    "-subj",
    "/CN=test authority",
    "-days",
    "2",
  );
  await writeFile(join(folder, "names"), "subjectAltName=IP:127.0.0.1,DNS:localhost");
  for (const name of ["server", "client"]) {
    openssl("req", ...newKey, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
    // biome-ignore format: flag and value side by side
    openssl(
      "x509", "-req", "-in", `${name}.csr`, "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
      "-out", `${name}.crt`, "-days", "2", "-extfile", "names",
    );
  }
  const read = (name: string) => readFile(join(folder, name), "utf8");
  return { ca: await read("ca.crt"), certificate: await read("client.crt"), key: await read("client.key") };
}
