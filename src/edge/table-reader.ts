/**
 * The text of a signed table in; the table and its canonical texts out, at the price of the services that changed.
 *
 * A service whose JSON text is that of the table before is not looked at again: it keeps its object, so that who follows the
 * table sees by identity what changed, and its canonical text. Of one that changed, the fields that did not keep theirs. The
 * rest is done few at a time: requests go on in between.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { RoutingTable, ServiceRoute, SignedTable } from "../core/model/routing.ts";
import { canonicalJson } from "../core/traffic/canonical.ts";
import { misfitOfService, readSignedTable } from "./table-shape.ts";

interface KnownService {
  readonly text: string;
  readonly route: ServiceRoute;
  readonly canonical: string;
}

export interface ReadTable {
  readonly kind: "fits";
  readonly signed: SignedTable;
  /** What is signed. */
  readonly canonical: string;
  /** What the digest is taken of. */
  readonly undigested: string;
  /** Services that had to be looked at. */
  readonly changed: readonly string[];
  readonly services: ReadonlyMap<string, KnownService>;
}

export interface Misfit {
  readonly kind: "misfit";
  readonly because: string;
}

/** Some 40 microseconds each with a warm compiler, and 300 with a cold one: a turn of 0.6 to 5 ms. */
const changedPerTurn = 16;
/** Whose text is compared and found the same: some 4 microseconds each. */
const comparedPerTurn = 512;

export class TableReader {
  #known: ReadonlyMap<string, KnownService> = new Map();

  async read(text: string): Promise<ReadTable | Misfit> {
    const shape = readSignedTable(text);
    if (shape.kind === "misfit") return shape;
    await nextTurn();
    const known = this.#known;
    const services = new Map<string, KnownService>();
    const changed: string[] = [];
    let compared = 0;
    for (const [name, route] of Object.entries(shape.signed.table.services)) {
      const routeText = JSON.stringify(route);
      const before = known.get(name);
      if (before?.text === routeText) {
        services.set(name, before);
        compared++;
        if (compared % comparedPerTurn === 0) await nextTurn();
        continue;
      }
      const because = misfitOfService(name, route);
      if (because !== "") return { kind: "misfit", because };
      const kept = before ? withFieldsOf(before.route, route) : route;
      services.set(name, { text: routeText, route: kept, canonical: canonicalJson(route) });
      changed.push(name);
      if (changed.length % changedPerTurn === 0) await nextTurn();
    }
    await nextTurn();
    const table: RoutingTable = {
      ...shape.signed.table,
      // Not by assignment: `__proto__` is a name like any other here.
      services: Object.fromEntries([...services].map(([name, { route }]) => [name, route])),
    };
    const pieces = piecesOf(table, services);
    const canonical = join(pieces);
    await nextTurn();
    return {
      kind: "fits",
      signed: { ...shape.signed, table },
      canonical,
      undigested: join(pieces.filter(([key]) => key !== "digest")),
      changed,
      services,
    };
  }

  /** What the next table is compared with: called for a table that is applied. */
  adopt(read: ReadTable): void {
    this.#known = read.services;
  }
}

/** `route`, with the very fields of `before` where they say the same. */
function withFieldsOf(before: ServiceRoute, route: ServiceRoute): ServiceRoute {
  const known = before as unknown as Readonly<Record<string, unknown>>;
  const fields = Object.entries(route).map(([key, field]) => {
    const kept = Object.hasOwn(known, key) && JSON.stringify(known[key]) === JSON.stringify(field);
    return [key, kept ? known[key] : field] as const;
  });
  return Object.fromEntries(fields) as unknown as ServiceRoute;
}

type Piece = readonly [key: string, text: string];

/** As `canonicalJson` writes them, with what is known of the services. */
function piecesOf(table: RoutingTable, services: ReadonlyMap<string, KnownService>): readonly Piece[] {
  return Object.entries(table)
    .map(([key, value]): Piece => [key, key === "services" ? servicesText(services) : canonicalJson(value)])
    .sort(byKey);
}

function servicesText(services: ReadonlyMap<string, KnownService>): string {
  return join([...services].map(([name, { canonical }]): Piece => [name, canonical]).sort(byKey));
}

function join(pieces: readonly Piece[]): string {
  return `{${pieces.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(",")}}`;
}

/** UTF-16 code units, as RFC 8785 has it. */
function byKey([a]: Piece, [b]: Piece): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
