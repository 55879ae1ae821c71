/** What every adapter of the port `router` must do: `routerContract(name, newPlace)` registers the cases. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { suite, test } from "node:test";
import { abilityNames } from "../../src/core/model/plane.ts";
import type { RoutingTable, SignedTable } from "../../src/core/model/routing.ts";
import { signTable } from "../../src/edge/signature.ts";
import type { Router } from "../../src/ports/router.ts";
import { until } from "../edge/parts/edges.ts";
import { type Origin, startOrigin } from "../edge/parts/origins.ts";
import { keyId, service, signed, table, target } from "../edge/parts/tables.ts";

export interface RouterPlace {
  /** A client of the data plane; several may be open at once. */
  open(): Promise<Router>;
  /** Where requests enter, such as `http://127.0.0.1:8080`. */
  base(): string;
  /** Ends the data plane without a word, and starts it with nobody to ask. */
  restart(): Promise<void>;
  remove(): Promise<void>;
}

export interface RouterPlaceRequest {
  /** Where the services of the tables listen: a data plane with fixed slots needs to know beforehand. */
  readonly origins: Readonly<Record<string, number>>;
}

const deadline = () => AbortSignal.timeout(5000);

interface Case extends AsyncDisposable {
  readonly place: RouterPlace;
  readonly router: Router;
  /** A table of the service `orders` with targets in the named regions. */
  readonly make: (
    generation: number,
    more?: Partial<RoutingTable>,
    targets?: readonly string[],
  ) => RoutingTable;
  /** The region that answers a request through the data plane. */
  readonly ask: () => Promise<string>;
}

export function routerContract(
  name: string,
  newPlace: (request: RouterPlaceRequest) => Promise<RouterPlace>,
  /** Said aloud in the test report; false: run. */
  skip: string | false = false,
): void {
  void suite(`router contract: ${name}`, { skip }, () => {
    const inCase = (fact: string, body: (it: Case) => Promise<void>): void => {
      void test(fact, { timeout: 60_000 }, async () => {
        await using it = await startCase(newPlace);
        await body(it);
      });
    };

    inCase("before the first table there is none", async ({ router }) => {
      assert.equal(await router.current(deadline()), null);
    });

    inCase("it says what it goes by, and that it does nothing else", async ({ router, make }) => {
      assert.deepEqual(await router.look(deadline()), { table: null, drift: [] });
      const first = signed(make(1));
      await router.apply(first, deadline());
      const { epoch, generation, digest } = first.table;
      assert.deepEqual(await router.look(deadline()), { table: { epoch, generation, digest }, drift: [] });
    });

    inCase("it answers for every ability that a table can ask for", async ({ router }) => {
      assert.deepEqual(Object.keys(router.abilities), [...abilityNames]);
      for (const [name, { how }] of Object.entries(router.abilities)) assert.ok(how.length > 10, name);
    });

    inCase(
      "a table that is applied is the current one, and requests go by it",
      async ({ router, make, ask }) => {
        const first = signed(make(1));
        assert.deepEqual(await router.apply(first, deadline()), { kind: "applied", generation: 1 });
        assert.deepEqual(await router.current(deadline()), first);
        assert.equal(await ask(), "west");
      },
    );

    inCase("the same table again changes nothing", async ({ router, make }) => {
      await router.apply(signed(make(1)), deadline());
      assert.deepEqual(await router.apply(signed(make(1)), deadline()), { kind: "unchanged", generation: 1 });
    });

    inCase(
      "an older table is refused, and so is another of the same number (R1)",
      async ({ router, make, ask }) => {
        const current = signed(make(5, { epoch: 2 }));
        await router.apply(current, deadline());
        for (const older of [
          make(4, { epoch: 2 }),
          make(9, { epoch: 1 }),
          make(5, { epoch: 2, because: "else" }),
        ]) {
          const outcome = await router.apply(signed(older), deadline());
          assert.equal(outcome.kind, "refused");
          assert.equal(outcome.kind === "refused" && outcome.generation, 5);
        }
        assert.deepEqual(await router.current(deadline()), current);
        assert.equal(await ask(), "west");
      },
    );

    inCase(
      "a table with another's signature, or none that fits, is refused (R2)",
      async ({ router, make }) => {
        const stranger = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" });
        const forged = signTable(make(1), keyId, stranger as string);
        const good = signed(make(1));
        const altered: SignedTable = { ...good, table: { ...good.table, because: "altered" } };
        for (const bad of [forged, altered, { ...good, keyId: "unknown" }])
          assert.equal((await router.apply(bad, deadline())).kind, "refused");
        assert.equal(await router.current(deadline()), null);
      },
    );

    inCase("a table that leaves nobody to serve, or serves where it may not, is refused", async (it) => {
      const { router, make, ask } = it;
      await router.apply(signed(make(1)), deadline());
      const fenced = { west: "fenced", central: "active", east: "standby" } as const;
      const drained = { west: "drained", central: "drained", east: "drained" } as const;
      for (const bad of [
        make(2, {}, []),
        make(2, { services: {} }),
        make(2, { regions: fenced }),
        make(2, { regions: drained }),
      ])
        assert.equal((await router.apply(signed(bad), deadline())).kind, "refused");
      assert.equal(await ask(), "west");
    });

    inCase("requests follow each table, away and back", async ({ router, make, ask }) => {
      const drained = { west: "drained", central: "active", east: "standby" } as const;
      for (let generation = 1; generation <= 6; generation += 2) {
        await router.apply(signed(make(generation)), deadline());
        await until(async () => (await ask()) === "west", "west serves");
        await router.apply(signed(make(generation + 1, { regions: drained })), deadline());
        await until(async () => (await ask()) === "central", "central serves");
      }
    });

    inCase("a service that is off is refused, and comes back", async ({ router, make, place, ask }) => {
      const on = make(1);
      const off = { orders: { ...on.services.orders!, mode: "off" as const } };
      await router.apply(signed(on), deadline());
      await router.apply(signed(make(2, { services: off })), deadline());
      await until(async () => (await fetch(place.base())).status === 503, "it is refused");
      await router.apply(signed(make(3)), deadline());
      await until(async () => (await ask().catch(() => "")) === "west", "west serves");
    });

    inCase("two that apply at once leave the greater table in force", async ({ place, router, make }) => {
      const other = await place.open();
      try {
        await Promise.all(
          Array.from({ length: 20 }, (_, n) =>
            (n % 2 === 0 ? router : other).apply(signed(make(n + 1)), deadline()),
          ),
        );
        assert.equal((await router.current(deadline()))?.table.generation, 20);
        assert.equal((await other.current(deadline()))?.table.generation, 20);
      } finally {
        await other.close();
      }
    });

    inCase(
      "started again with nobody to ask, it serves by its last table and refuses older ones (R3)",
      async (it) => {
        const { place, router, make, ask } = it;
        const drained = { west: "drained", central: "active", east: "standby" } as const;
        await router.apply(signed(make(1)), deadline());
        await router.apply(signed(make(2, { regions: drained })), deadline());
        await until(async () => (await ask()) === "central", "central serves");
        await place.restart();
        await until(async () => (await ask().catch(() => "")) === "central", "central serves again");
        const again = await place.open();
        try {
          assert.equal((await again.current(deadline()))?.table.generation, 2);
          assert.equal((await again.apply(signed(make(1)), deadline())).kind, "refused");
        } finally {
          await again.close();
        }
      },
    );
  });
}

async function startCase(newPlace: (request: RouterPlaceRequest) => Promise<RouterPlace>): Promise<Case> {
  const regions = ["west", "central", "east"];
  const origins = new Map<string, Origin>();
  for (const region of regions)
    origins.set(region, await startOrigin((_request, response) => response.end(region)));
  const place = await newPlace({
    origins: Object.fromEntries([...origins].map(([region, { port }]) => [region, port])),
  });
  const router = await place.open();
  return {
    place,
    router,
    make: (generation, more = {}, targets = regions) =>
      table(generation, {
        services: { orders: service(targets.map((region) => target(region, origins.get(region)!.port))) },
        ...more,
      }),
    ask: async () => (await fetch(place.base())).text(),
    [Symbol.asyncDispose]: async () => {
      await router.close();
      await place.remove();
      for (const origin of origins.values()) await origin[Symbol.asyncDispose]();
    },
  };
}
