/** `holdfast failback`: hand a data store back to the region it belongs to. */
import type { Command } from "commander";
import { registerWish } from "../request.ts";

export function register(program: Command): void {
  registerWish(program, {
    kind: "failback",
    description: "hand a data store back to the region it belongs to",
    without: "the first in the topology",
    example: "failback orders-db --why 'eu-west is well again'",
  });
}
