/** Documents as far as they could be decoded, and what can be wrong between them. */
import type { KindName, SpecOf } from "./language.ts";
import type { Place } from "./problem.ts";
import type { Path } from "./read.ts";
import type { Rough } from "./shape.ts";

/** One document, as far as it could be decoded. */
export interface Draft<K extends KindName> {
  readonly kind: K;
  /** undefined: it has none that could be read. */
  readonly name: string | undefined;
  readonly spec: Rough<SpecOf<K>>;
  readonly at: (path: Path) => Place;
}

export type Drafts = { readonly [K in KindName]: readonly Draft<K>[] };

export interface Breach {
  readonly draft: Draft<KindName>;
  readonly path: Path;
  readonly message: string;
  readonly hint: string;
  readonly first?: { readonly draft: Draft<KindName>; readonly path: Path; readonly label: string };
}
