/** The flags of a bench: `--help` prints what its file opens with, and a flag that is wrong is told with what was meant. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type ParseArgsConfig, parseArgs } from "node:util";

type Options = NonNullable<ParseArgsConfig["options"]>;
type Values<T extends Options> = ReturnType<typeof parseArgs<{ options: T }>>["values"];

/** `url`: of the bench's own file. Ends the process with 0 after `--help`, with 2 when a flag cannot be taken. */
export function benchFlags<const T extends Options>(url: string, options: T): Values<T> {
  if (process.argv.slice(2).some((flag) => flag === "--help" || flag === "-h")) {
    console.log(helpOf(readFileSync(fileURLToPath(url), "utf8"), options));
    process.exit(0);
  }
  try {
    return parseArgs({ options }).values as Values<T>;
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

/** A whole number from `from`. */
export function numberFlag(flag: string, text: string, from = 1): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && value >= from) return value;
  return refuse(`--${flag} takes a whole number from ${from}, not "${text}"`);
}

export function refuse(why: string): never {
  console.error(`${why}\nWhat this bench takes is told by --help.`);
  process.exit(2);
}

function helpOf(source: string, options: Options): string {
  const opening = /^\/\*\*([\s\S]*?)\*\//.exec(source)?.[1] ?? "";
  const text = opening
    .split("\n")
    .map((line) => line.replace(/^ \* ?/, "").trimEnd())
    .join("\n")
    .trim();
  const flags = Object.entries(options).map(([name, { type, default: value }]) => {
    const flag = `  --${name}${type === "string" ? " VALUE" : ""}`;
    return value === undefined || value === false
      ? flag
      : `${flag.padEnd(24)}  unless told: ${String(value)}`;
  });
  return [text, "", "Flags:", ...flags, "  --help"].join("\n");
}
