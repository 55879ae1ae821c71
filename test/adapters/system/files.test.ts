/** What the agent keeps on its disk: replaced files, keys, tokens. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readFileIfAny, replaceFile } from "../../../src/adapters/system/atomic-file.ts";
import { digest } from "../../../src/adapters/system/digest.ts";
import { loadOrMakeSigningKey, verifyingKeys } from "../../../src/adapters/system/keys.ts";
import { makeId } from "../../../src/adapters/system/random.ts";
import { isSameToken, loadOrMakeToken } from "../../../src/adapters/system/token.ts";
import { temporaryFolder } from "./temporary-folder.ts";

test("a replaced file has the new text, and a failed replacement leaves the old one and no other file", (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, "deep", "file");
  assert.equal(readFileIfAny(path), null);
  replaceFile(path, "one");
  replaceFile(path, "two");
  assert.equal(readFileIfAny(path), "two");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  mkdirSync(join(folder, "deep", "taken"));
  assert.throws(() => replaceFile(join(folder, "deep", "taken"), "x"), { code: "HOLDFAST_FILE_UNWRITABLE" });
  assert.throws(() => readFileIfAny(join(folder, "deep", "taken")), { code: "HOLDFAST_FILE_UNREADABLE" });
  assert.deepEqual(readdirSync(join(folder, "deep")).sort(), ["file", "taken"]);
});

test("a signature counts only for its text, its key and those who know the key", (t) => {
  const folder = temporaryFolder(t);
  const key = loadOrMakeSigningKey(folder);
  const again = loadOrMakeSigningKey(folder);
  assert.equal(again.keyId, key.keyId);
  assert.match(key.keyId, /^[0-9a-f]{16}$/);
  assert.equal(statSync(join(folder, "holdfast.key")).mode & 0o777, 0o600);
  const other = loadOrMakeSigningKey(join(folder, "other"));
  const keys = verifyingKeys([key.publicKey]);
  assert.equal(keys.verify("table", key.keyId, again.sign("table")), true);
  assert.equal(keys.verify("tablE", key.keyId, key.sign("table")), false);
  assert.equal(keys.verify("table", key.keyId, other.sign("table")), false);
  assert.equal(keys.verify("table", other.keyId, other.sign("table")), false);
  assert.equal(keys.verify("table", key.keyId, "no base64 ?"), false);
  assert.equal(keys.verify("table", key.keyId, ""), false);
  writeFileSync(join(folder, "holdfast.key"), "\0\0\0");
  assert.throws(() => loadOrMakeSigningKey(folder), { code: "HOLDFAST_KEY_INVALID" });
});

test("a token is made once, for its user alone, and only it is the same", (t) => {
  const path = join(temporaryFolder(t), "agent", "token");
  const token = loadOrMakeToken(path);
  assert.equal(loadOrMakeToken(path), token);
  assert.equal(readFileSync(path, "utf8"), `${token}\n`);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(isSameToken(token, token), true);
  for (const wrong of ["", token.slice(1), `${token} `, token.toUpperCase()])
    assert.equal(isSameToken(token, wrong), false);
});

test("ids do not repeat, and a digest is SHA-256", () => {
  assert.equal(new Set(Array.from({ length: 10_000 }, makeId)).size, 10_000);
  assert.match(makeId(), /^[0-9a-hjkmnp-tv-z]{12}$/);
  assert.equal(digest("abc").slice(0, 16), "ba7816bf8f01cfea");
});
