/** `holdfast switchover`: hand a data store over to another region, planned: nothing lost, nothing refused. */
import type { Command } from "commander";
import { connect, orComplain, withConnection } from "../connect.ts";
import { askAndFollow, onlyStore, type WishOptions } from "../request.ts";

export function register(program: Command): void {
  withConnection(
    program
      .command("switchover")
      .description("hand a data store over to another region, planned: nothing lost, nothing refused")
      .argument("[data-store]", "which one; may be left out where there is one"),
  )
    .option("--to <region>", "region that should lead; default: the best placed")
    .option("--if-epoch <n>", "refuse unless this is the epoch then")
    .option("--why <text>", "reason, for the chronicle")
    .option("--no-wait", "do not wait for the outcome")
    .option("--json", "print the request as JSON")
    .addHelpText("after", "\nExample:\n  holdfast switchover orders-db --to eu-central --why 'kernel update'")
    .action(async (store: string | undefined, options: WishOptions & { readonly to?: string }) => {
      const connection = connect(options);
      if (!connection) return;
      await orComplain(async () => {
        const dataStore = await onlyStore(store, connection);
        if (dataStore !== null)
          await askAndFollow({ kind: "switchover", dataStore, toRegion: options.to ?? null }, options);
      });
    });
}
