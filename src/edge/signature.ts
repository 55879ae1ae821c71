/** Ed25519 over a table's canonical JSON: nobody but an agent makes an edge change its mind (R2). */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import type { RoutingTable, SignedTable } from "../core/model/routing.ts";
import { canonicalJson } from "../core/traffic/canonical.ts";

export function sha256(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("hex");
}

/** `privateKeyPem`: PKCS#8. */
export function signTable(table: RoutingTable, keyId: string, privateKeyPem: string): SignedTable {
  const signature = sign(null, Buffer.from(canonicalJson(table), "utf8"), createPrivateKey(privateKeyPem));
  return { table, keyId, signature: signature.toString("base64") };
}

/** Key id -> public key, SPKI in DER, base64. */
export type PublicKeys = Readonly<Record<string, string>>;

/** Empty when the signature is valid, else why it is not. `canonical`: of the table, where it is at hand. */
export function verifyTable(
  signed: SignedTable,
  keys: PublicKeys,
  canonical: string = canonicalJson(signed.table),
): string {
  if (!Object.hasOwn(keys, signed.keyId)) return `no key ${JSON.stringify(signed.keyId)} is known here`;
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(keys[signed.keyId]!, "base64"), format: "der", type: "spki" });
  } catch (error) {
    return `key ${signed.keyId} is not a public key (SPKI, base64): ${String(error)}`;
  }
  const message = Buffer.from(canonical, "utf8");
  if (verify(null, message, key, Buffer.from(signed.signature, "base64"))) return "";
  return `the signature by ${signed.keyId} does not fit the table`;
}
