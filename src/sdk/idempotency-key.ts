/** The `Idempotency-Key` of a request, read as draft-ietf-httpapi-idempotency-key-header-07 says, and as most clients send it. */

export type ReadKey =
  | { readonly kind: "key"; readonly key: string }
  | { readonly kind: "missing" }
  | { readonly kind: "malformed"; readonly because: string };

/** A String of RFC 9651 (structured fields), without parameters: none are defined. */
const quoted = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/;
/** Sent without quotation marks by nearly everyone. No comma: Node joins a field that came twice by `, `. */
const bare = /^[\x21\x23-\x2b\x2d-\x7e]+$/;
const lengthMax = 255;

/** `"abc"` and `abc` are the same key. */
export function readKey(field: string | null | undefined): ReadKey {
  if (field === null || field === undefined) return { kind: "missing" };
  const key = quoted.exec(field)?.[1]?.replace(/\\(["\\])/g, "$1") ?? (bare.test(field) ? field : null);
  if (key === null)
    return { kind: "malformed", because: "it is neither a quoted string nor one visible word" };
  if (key === "") return { kind: "malformed", because: "it is empty" };
  if (lengthMax < key.length)
    return { kind: "malformed", because: `it is longer than ${lengthMax} characters` };
  return { kind: "key", key };
}
