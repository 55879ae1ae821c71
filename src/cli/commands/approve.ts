/** `holdfast approve`: let the agents take over a data store where the mode is approve. */
import type { Command } from "commander";
import { registerWish } from "../request.ts";

export function register(program: Command): void {
  registerWish(program, {
    kind: "approve",
    description: "let the agents take over a data store where the mode is approve",
    without: "the best placed",
    example: "approve orders-db --if-epoch 41",
  });
}
