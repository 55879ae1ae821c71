/** `holdfast schema`: the JSON Schema of a topology file, for editors. */
import type { Command } from "commander";
import { topologySchema } from "../../core/spec/json-schema.ts";

export function register(program: Command): void {
  program
    .command("schema")
    .description("print the JSON Schema of a topology file's documents")
    .addHelpText(
      "after",
      `
Example:
  holdfast schema > holdfast.schema.json

Then let your editor know by the first line of holdfast.yaml:
  # yaml-language-server: $schema=holdfast.schema.json`,
    )
    .action(() => {
      process.stdout.write(`${JSON.stringify(topologySchema(), null, 2)}\n`);
    });
}
