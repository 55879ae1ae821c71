/** Addresses of names are kept, whatever the resolver does afterwards. */
import assert from "node:assert/strict";
import dns, { type LookupAddress } from "node:dns";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import test from "node:test";
import { KeptNames, keepNames, type Resolve } from "../../../src/adapters/system/names.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const west = [{ address: "10.1.0.7", family: 4 }];
const both = [...west, { address: "fd00::7", family: 6 }];

test("who is known is given at once, and asked for behind it", async () => {
  const resolver = new Resolver();
  const names = new KeptNames(null, resolver.resolve);
  resolver.says = both;
  assert.deepEqual(await lookUp(names, "west.test", { all: true }), both);
  assert.deepEqual(await lookUp(names, "west.test", {}), "10.1.0.7");
  assert.deepEqual(await lookUp(names, "west.test", { family: 6 }), "fd00::7");
  resolver.says = [{ address: "10.1.0.8", family: 4 }];
  await settled();
  assert.deepEqual(
    await lookUp(names, "west.test", {}),
    "10.1.0.7",
    "it moved, and who connects now learns it",
  );
  await settled();
  assert.deepEqual(await lookUp(names, "west.test", {}), "10.1.0.8");
});

test("a resolver that finds nothing takes nothing away", async () => {
  const resolver = new Resolver();
  const names = new KeptNames(null, resolver.resolve);
  resolver.says = west;
  names.learn(["west.test", "10.9.9.9"]);
  await settled();
  resolver.says = "SERVFAIL";
  for (let round = 0; round < 3; round++) {
    assert.deepEqual(await lookUp(names, "west.test", {}), "10.1.0.7");
    await settled();
  }
  await assert.rejects(lookUp(names, "east.test", {}), /SERVFAIL/, "nobody ever found it");
  await assert.rejects(lookUp(names, "west.test", { family: 6 }), /no address of west\.test/);
});

test("a resolver that hangs is waited for by nobody who knows, and asked once", async () => {
  const resolver = new Resolver();
  const names = new KeptNames(null, resolver.resolve);
  resolver.says = west;
  await lookUp(names, "west.test", {});
  await settled();
  resolver.says = "hangs";
  const asked = resolver.asked;
  for (let round = 0; round < 3; round++) assert.equal(await lookUp(names, "west.test", {}), "10.1.0.7");
  assert.equal(resolver.asked - asked, 1);
  resolver.release(both);
  assert.deepEqual(await lookUp(names, "west.test", { all: true }), both);
});

test("two questions at a time: whoever is asked for third waits for them, unless it is known", async () => {
  const resolver = new Resolver();
  const names = new KeptNames(null, resolver.resolve);
  resolver.says = west;
  await lookUp(names, "known.test", {});
  await settled();
  resolver.says = "hangs";
  const asked = resolver.asked;
  const waiting = ["a.test", "b.test", "c.test"].map((name) => lookUp(names, name, {}));
  assert.equal(await lookUp(names, "known.test", {}), "10.1.0.7");
  assert.equal(resolver.asked - asked, 2);
  resolver.says = west;
  resolver.release(west);
  assert.deepEqual(await Promise.all(waiting), ["10.1.0.7", "10.1.0.7", "10.1.0.7"]);
});

test("an address needs no resolver", async () => {
  const resolver = new Resolver();
  const names = new KeptNames(null, resolver.resolve);
  assert.equal(await lookUp(names, "10.9.9.9", {}), "10.9.9.9");
  assert.deepEqual(await lookUp(names, "::1", { all: true }), [{ address: "::1", family: 6 }]);
  assert.equal(resolver.asked, 0);
});

test("what is known is on disk for whoever starts while names are lost; a torn file is as good as none", async (t) => {
  const file = join(temporaryFolder(t), "names.json");
  const resolver = new Resolver();
  resolver.says = both;
  await lookUp(new KeptNames(file, resolver.resolve), "west.test", {});
  resolver.says = "SERVFAIL";
  assert.equal(await lookUp(new KeptNames(file, resolver.resolve), "west.test", {}), "10.1.0.7");
  const whole = readFileSync(file, "utf8");
  for (const torn of [
    whole.slice(0, -9),
    '{"west.test": [{"address": "x", "family": 4}]}',
    "\0\0\0\0",
    "null",
  ]) {
    writeFileSync(file, torn);
    await assert.rejects(lookUp(new KeptNames(file, resolver.resolve), "west.test", {}), /SERVFAIL/, torn);
  }
});

test("a turned order of the same addresses is no reason to write", async (t) => {
  const file = join(temporaryFolder(t), "names.json");
  const resolver = new Resolver();
  const names = new KeptNames(file, resolver.resolve);
  resolver.says = both;
  await lookUp(names, "west.test", {});
  const before = readFileSync(file, "utf8");
  resolver.says = both.toReversed();
  await lookUp(names, "west.test", {});
  await settled();
  assert.equal(await lookUp(names, "west.test", {}), "fd00::7");
  assert.equal(readFileSync(file, "utf8"), before);
});

test("whoever connects in this process goes by them", async (t) => {
  const own = dns.lookup;
  t.after(() => {
    dns.lookup = own;
  });
  const server = createServer((socket) => socket.end("here"));
  t.after(() => server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const file = join(temporaryFolder(t), "names.json");
  writeFileSync(file, JSON.stringify({ "west.invalid": [{ address: "127.0.0.1", family: 4 }] }));
  keepNames(file, ["west.invalid"]);
  const socket = connect(port, "west.invalid");
  const [heard] = await once(socket, "data");
  assert.equal(String(heard), "here");
});

/** Answers at once, or when it is let. */
class Resolver {
  says: readonly LookupAddress[] | "SERVFAIL" | "hangs" = "SERVFAIL";
  asked = 0;
  #held: ((addresses: readonly LookupAddress[]) => void)[] = [];

  readonly resolve: Resolve = (_host, _options, answer) => {
    this.asked++;
    const { says } = this;
    if (says === "hangs") this.#held.push((addresses) => answer(null, addresses));
    else if (says === "SERVFAIL") setImmediate(answer, new Error("SERVFAIL"), []);
    else setImmediate(answer, null, says);
  };

  release(addresses: readonly LookupAddress[]): void {
    for (const one of this.#held.splice(0)) one(addresses);
  }
}

function lookUp(names: KeptNames, host: string, options: object): Promise<unknown> {
  return new Promise((resolve, reject) =>
    names.lookup(host, options, (error, found) => (error ? reject(error) : resolve(found))),
  );
}

/** Whatever was asked behind an answer has been answered. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
}
