/** `holdfast routers`: the data planes of every region, what each goes by and what it can do; and what HAProxy starts with. */
import type { Command } from "commander";
import { prepareForeignRouter } from "../../adapters/adapters.ts";
import type { PlaneView, RoutersView } from "../../core/model/plane.ts";
import { type ConnectOptions, complain, connect, orComplain, withConnection } from "../connect.ts";
import { exit, exitWith } from "../exit.ts";
import { type Paint, paintFor } from "../paint.ts";
import { topologyOrComplain } from "../topology-file.ts";

interface ListOptions extends ConnectOptions {
  readonly json?: boolean;
  readonly abilities?: boolean;
}

interface ConfigOptions {
  readonly topology: string;
  readonly region: string;
  readonly router?: string;
}

interface RegionAnswer {
  readonly region: string;
  /** null: its agent did not answer, see `because`. */
  readonly view: RoutersView | null;
  readonly because: string;
}

export function register(program: Command): void {
  const routers = program
    .command("routers")
    .description("the data planes of every region: what they go by, what they can do");
  withConnection(
    routers
      .command("list", { isDefault: true })
      .description("which table each data plane goes by, where it drifted, and what it cannot do"),
  )
    .option("--abilities", "for each data plane all that a table can ask for, and how it does it")
    .option("--json", "print what the agents say as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  holdfast routers\n  holdfast routers list --agent eu-west --json\n\nExits with 0 when every data plane goes by the newest table and does nothing else, 1 when one does not or the agent of a region is silent, 4 when no agent answers.",
    )
    .action(list);
  routers
    .command("config")
    .description("write what HAProxy is started with; agents do it too, and no failover ever reloads it")
    .requiredOption("--topology <file>", "topology file")
    .requiredOption("--region <name>", "region that it is in")
    .option("--router <name>", "which one, where a region has several")
    .addHelpText("after", "\nExample:\n  holdfast routers config --topology holdfast.yaml --region eu-west")
    .action(config);
}

async function list(options: ListOptions): Promise<void> {
  const connection = connect(options);
  if (!connection) return;
  await orComplain(async () => {
    const answers: RegionAnswer[] = (await connection.askEach((client) => client.routers())).map(
      ({ region, answer, because }) => ({ region, view: answer, because }),
    );
    const newest = newestOf(answers);
    const isWell = answers.every(
      ({ view }) => view?.planes.every((plane) => isCurrent(plane, newest)) ?? false,
    );
    const text = options.json
      ? JSON.stringify({ newest, regions: answers }, null, 2)
      : render(answers, newest, options.abilities ?? false, paintFor(process.stdout));
    process.stdout.write(`${text}\n`);
    if (answers.every(({ view }) => view === null)) exitWith(exit.unreachable);
    else exitWith(isWell ? exit.ok : exit.failed);
  });
}

interface Newest {
  readonly epoch: number;
  readonly generation: number;
}

/** Of what any agent handed out or any data plane has: a region that is cut off does not know that it is behind. */
function newestOf(answers: readonly RegionAnswer[]): Newest | null {
  const all = answers
    .flatMap(({ view }) => [view?.wanted, ...(view?.planes ?? []).map(({ table }) => table)])
    .filter((mark) => mark !== null && mark !== undefined)
    .map(({ epoch, generation }) => ({ epoch, generation }));
  return all.sort((a, b) => b.epoch - a.epoch || b.generation - a.generation)[0] ?? null;
}

function isCurrent({ state, table }: PlaneView, newest: Newest | null): boolean {
  if (state !== "current" || table === null) return false;
  return newest === null || (table.epoch === newest.epoch && table.generation >= newest.generation);
}

function render(
  answers: readonly RegionAnswer[],
  newest: Newest | null,
  withAbilities: boolean,
  paint: Paint,
): string {
  const lines = [
    newest ? `newest table ${newest.generation}, epoch ${newest.epoch}` : "no routing table yet",
  ];
  for (const { region, view, because } of answers) {
    lines.push("", paint("bold", region));
    if (view === null) lines.push(`  ${paint("red", "?")} its agent does not answer: ${because}`);
    else if (view.planes.length === 0) lines.push(`  ${paint("dim", "no data plane")}`);
    for (const plane of view?.planes ?? []) lines.push(...linesOf(plane, newest, withAbilities, paint));
  }
  return lines.join("\n");
}

function linesOf(plane: PlaneView, newest: Newest | null, withAbilities: boolean, paint: Paint): string[] {
  const isWell = isCurrent(plane, newest);
  const mark = isWell ? paint("green", "●") : paint(plane.state === "drifted" ? "yellow" : "red", "×");
  const table = plane.table ? `table ${plane.table.generation}, epoch ${plane.table.epoch}` : "no table";
  const state = plane.state === "current" && !isWell ? "behind, and its agent does not know it" : plane.state;
  const lines = [`  ${mark} ${plane.name.padEnd(18)} ${plane.kind.padEnd(8)} ${table}, ${state}`];
  const also = (text: string) => lines.push(`    ${text}`);
  if (plane.because !== "") also(plane.because);
  if (plane.mended > 0) also(`put right ${plane.mended} times; the last time: ${plane.mendedLast}`);
  // As the agent tells them, which may be of another version.
  for (const [name, { can, how }] of Object.entries(plane.abilities)) {
    if (withAbilities || can !== "yes") also(`${paint("dim", `${can.padEnd(6)} ${name.padEnd(8)}`)} ${how}`);
  }
  return lines;
}

async function config({ topology: file, region, router: name }: ConfigOptions): Promise<void> {
  const loaded = topologyOrComplain(file);
  if (!loaded) return;
  const there = (loaded.topology.routers ?? []).filter((router) => router.region === region);
  const chosen = there.filter((router) => name === undefined || router.name === name);
  if (chosen.length === 0) {
    const names = there.map((router) => router.name).join(", ") || "none";
    return complain(
      `no router ${name ?? ""} in region ${region} of ${file}; there is: ${names}`,
      exit.invalid,
    );
  }
  for (const router of chosen) {
    try {
      const { path, outcome } = await prepareForeignRouter(loaded.topology, router);
      const next =
        outcome === "written"
          ? `start HAProxy with it, or reload it once: haproxy -W -db -f ${path}`
          : "it stands as it was";
      process.stdout.write(`${router.name}: ${path} is ${outcome}; ${next}\n`);
    } catch (error) {
      return complain(`cannot write the configuration: ${(error as Error).message}`, exit.failed);
    }
  }
}
