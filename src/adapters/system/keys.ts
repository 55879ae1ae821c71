/** Ed25519 keys that sign routing tables: made at the first start, kept in PEM files. */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign as signBytes,
  verify as verifyBytes,
} from "node:crypto";
import { join } from "node:path";
import { HoldfastError } from "../../core/model/error-code.ts";
import { readFileIfAny, replaceFile } from "./atomic-file.ts";
import { digest } from "./digest.ts";

export interface SigningKey {
  /** First 16 hexadecimal digits of the SHA-256 of the public key (SPKI). */
  readonly keyId: string;
  /** PEM, for whoever verifies. */
  readonly publicKey: string;
  /** Base64. */
  sign(text: string): string;
}

export interface VerifyingKeys {
  readonly keyIds: readonly string[];
  /** False for an unknown key, a wrong signature, or one that is not base64. */
  verify(text: string, keyId: string, signature: string): boolean;
}

/** `<folder>/holdfast.key` (0600) and `<folder>/holdfast.pub`; made if there is none. */
export function loadOrMakeSigningKey(folder: string): SigningKey {
  const path = join(folder, "holdfast.key");
  let pem = readFileIfAny(path);
  if (pem === null) {
    pem = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    replaceFile(path, pem);
  }
  const privateKey = readKey(path, pem, createPrivateKey);
  const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "pem" }) as string;
  const publicPath = join(folder, "holdfast.pub");
  if (readFileIfAny(publicPath) !== publicKey) replaceFile(publicPath, publicKey, 0o644);
  return {
    keyId: keyIdOf(createPublicKey(publicKey)),
    publicKey,
    sign: (text) => signBytes(null, Buffer.from(text), privateKey).toString("base64"),
  };
}

/** Whose signatures count: PEM texts of public keys. Several while keys are being changed. */
export function verifyingKeys(pems: readonly string[]): VerifyingKeys {
  const keys = new Map<string, KeyObject>();
  for (const pem of pems) {
    const key = readKey("public key", pem, createPublicKey);
    keys.set(keyIdOf(key), key);
  }
  return {
    keyIds: [...keys.keys()],
    verify(text, keyId, signature) {
      const key = keys.get(keyId);
      if (key === undefined) return false;
      return verifyBytes(null, Buffer.from(text), key, Buffer.from(signature, "base64"));
    },
  };
}

function keyIdOf(key: KeyObject): string {
  return digest(key.export({ type: "spki", format: "der" })).slice(0, 16);
}

function readKey(path: string, pem: string, read: (pem: string) => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = read(pem);
  } catch (error) {
    throw new HoldfastError(
      "HOLDFAST_KEY_INVALID",
      `${path} holds no key: ${(error as Error).message}`,
      error,
    );
  }
  if (key.asymmetricKeyType !== "ed25519") {
    throw new HoldfastError(
      "HOLDFAST_KEY_INVALID",
      `${path} holds a key for ${key.asymmetricKeyType}, not ed25519`,
    );
  }
  return key;
}
