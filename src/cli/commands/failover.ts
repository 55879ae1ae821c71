/** `holdfast failover`: accept the loss of writes that nobody can prove to be kept; one audited act, never a setting. */
import type { Command } from "commander";
import { complain, withConnection } from "../connect.ts";
import { exit } from "../exit.ts";
import { askAndFollow, type WishOptions } from "../request.ts";

export function register(program: Command): void {
  withConnection(
    program
      .command("failover")
      .description(
        "let a standby take over although acknowledged writes may be lost: when no proof is possible any more",
      )
      .argument("<data-store>", "which one"),
  )
    .requiredOption(
      "--if-epoch <n>",
      "the epoch that you saw in the status: refused when it is another one by then",
    )
    .requiredOption("--why <text>", "reason, for the chronicle")
    .option("--allow-data-loss", "say that you accept it")
    .option("--no-wait", "do not wait for the outcome")
    .option("--json", "print the request as JSON")
    .addHelpText(
      "after",
      "\nWhere a standby can be proven to hold every write, agents fail over by themselves: nothing needs to be asked for.\n\nExample:\n  holdfast failover orders-db --if-epoch 41 --allow-data-loss --why 'eu-west burnt down'",
    )
    .action(async (dataStore: string, options: WishOptions & { readonly allowDataLoss?: boolean }) => {
      if (!options.allowDataLoss)
        return complain(
          'a failover that is safe happens by itself; "holdfast status" says what holds it. Add --allow-data-loss to accept the loss.',
          exit.refused,
        );
      await askAndFollow({ kind: "allow-data-loss", dataStore, toRegion: null }, options);
    });
}
