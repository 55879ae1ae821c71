/** `holdfast switchover`: hand a data store over to another region, planned: nothing lost, nothing refused. */
import type { Command } from "commander";
import { registerWish } from "../request.ts";

export function register(program: Command): void {
  registerWish(program, {
    kind: "switchover",
    description: "hand a data store over to another region, planned: nothing lost, nothing refused",
    without: "the best placed",
    example: "switchover orders-db --to eu-central --why 'kernel update'",
  });
}
