/** `holdfast reseed`: have a damaged copy made anew from the primary's. */
import type { Command } from "commander";
import { connect, orComplain, withConnection } from "../connect.ts";
import { askAndFollow, onlyStore, type WishOptions } from "../request.ts";

export function register(program: Command): void {
  withConnection(
    program
      .command("reseed")
      .description("have the damaged copy of a standby made anew from the primary's")
      .argument("[data-store]", "which one; may be left out where there is one"),
  )
    .requiredOption("--region <name>", "whose copy")
    .option("--if-epoch <n>", "refuse unless this is the epoch then")
    .option("--why <text>", "reason, for the record")
    .option("--no-wait", "do not wait for the outcome")
    .option("--json", "print the request as JSON")
    .addHelpText(
      "after",
      `
The old copy is read from until the new one is there, whole, and is removed then: PostgreSQL has verified every page that
it sent. Refused on the primary, on a copy that is not known to be damaged or does not stream, and while the primary's is
damaged as well.

Example:
  holdfast reseed orders-db --region eu-central --why 'a disk that was replaced'`,
    )
    .action(async (named: string | undefined, options: WishOptions & { readonly region: string }) => {
      const connection = connect(options);
      if (!connection) return;
      await orComplain(async () => {
        const dataStore = await onlyStore(named, connection);
        if (dataStore !== null)
          await askAndFollow({ kind: "reseed", dataStore, toRegion: options.region }, options);
      });
    });
}
