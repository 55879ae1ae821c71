/** `holdfast status`: are customers served, by whom, and what happens if that region dies now. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import type { ServiceView, StatusView } from "../../core/model/status.ts";
import { formatDuration } from "../../core/spec/units.ts";
import { type ConnectOptions, connect, orComplain, withConnection } from "../connect.ts";
import { exit, exitWith } from "../exit.ts";
import { type Paint, paintFor } from "../paint.ts";

interface Options extends ConnectOptions {
  readonly json?: boolean;
  readonly watch?: boolean;
}

export function register(program: Command): void {
  withConnection(
    program.command("status").description("who serves, who may write, and what would happen now"),
  )
    .option("--json", "print the agent's view as JSON")
    .option("--watch", "again every second, until Ctrl-C")
    .addHelpText(
      "after",
      "\nExamples:\n  holdfast status\n  holdfast status --json | jq '.dataStores[].epoch'\n\nExits with 0 while every data store has a primary, 1 when one has not.",
    )
    .action(async (options: Options) => {
      const connection = connect(options);
      if (!connection) return;
      await orComplain(async () => {
        for (;;) {
          const view = await connection.ask((client) => client.status());
          if (options.watch && process.stdout.isTTY) process.stdout.write("\u001b[2J\u001b[H");
          process.stdout.write(
            options.json
              ? `${JSON.stringify(view, null, 2)}\n`
              : `${render(view, paintFor(process.stdout))}\n`,
          );
          exitWith(view.dataStores.every((store) => store.primary !== null) ? exit.ok : exit.failed);
          if (!options.watch) return;
          await sleep(1000);
        }
      });
    });
}

function render(view: StatusView, paint: Paint): string {
  const served = view.dataStores.every((store) => store.primary !== null && !store.frozen);
  const lines = [paint(served ? "green" : "red", paint("bold", view.servedBy)), ""];
  for (const store of view.dataStores) {
    const lease =
      store.leaseLeftMs === null ? "no lease" : `lease ${(store.leaseLeftMs / 1000).toFixed(1)} s`;
    lines.push(
      `${paint("bold", store.name)}  epoch ${store.epoch}, ${store.phase}, ${lease}; commits wait for ${store.durable.acknowledgements} of ${store.durable.standbys.join(", ") || "nobody"}`,
    );
    for (const member of store.members) {
      const lag =
        member.role === "standby" && member.lagBytes !== null ? `, ${member.lagBytes} bytes behind` : "";
      const how =
        member.role === "primary" ? "" : member.streaming ? ", streaming" : member.sealed ? ", sealed" : "";
      const heard = view.regions.find((region) => region.name === member.region)?.agentAlive ?? false;
      const mark = !heard
        ? paint("dim", "?")
        : member.role === "primary"
          ? paint("green", "●")
          : member.streaming
            ? paint("blue", "○")
            : paint("red", "×");
      lines.push(
        `  ${mark} ${member.name.padEnd(14)} ${member.region.padEnd(14)} ${heard ? "" : "not heard of; last "}${member.state}${how}, epoch ${member.epoch}${lag}`,
      );
      if (member.disk) lines.push(`    ${paint("red", member.disk)}`);
      if (member.damaged) lines.push(`    ${paint("red", member.damaged)}`);
    }
    if (store.holding) lines.push(`  ${paint("yellow", "holding:")} ${store.holding}`);
  }
  lines.push("", paint("bold", "regions"));
  for (const region of view.regions) {
    const seen =
      region.beatMsAgo === null ? "never heard of" : `heard ${(region.beatMsAgo / 1000).toFixed(1)} s ago`;
    const bad = Object.entries(region.sees)
      .filter(([, sight]) => sight !== "up")
      .map(([target, sight]) => `${target} ${sight}`);
    lines.push(
      `  ${region.agentAlive ? paint("green", "●") : paint("red", "×")} ${region.name.padEnd(14)} ${region.state.padEnd(9)} agent ${seen}${bad.length > 0 ? `; sees ${bad.join(", ")}` : ""}`,
    );
  }
  lines.push("", paint("bold", "services"), ...view.services.map((service) => serviceLine(service, paint)));
  const store =
    view.storeSeenMsAgo === null
      ? "never heard of"
      : `heard ${(view.storeSeenMsAgo / 1000).toFixed(1)} s ago`;
  lines.push(
    "",
    `control store ${store}; routing table ${view.routing ? `${view.routing.generation} (${view.routing.because})` : "none yet"}; mode ${view.mode}, lease ${view.profile}; as ${view.region} sees it`,
  );
  for (const request of view.requests)
    lines.push(
      `${paint("yellow", request.status)}: ${request.kind} of ${request.dataStore} asked by ${request.by}: ${request.detail || request.why}`,
    );
  return lines.join("\n");
}

function serviceLine(
  { name, mode, level, levelName, levels, targets, order }: ServiceView,
  paint: Paint,
): string {
  const mark = level === 0 && mode === "rw" ? paint("green", "●") : paint("yellow", "●");
  const where = `${mode}, from ${targets.join(", ") || "nowhere"}`;
  // An agent of the version before says nothing of levels.
  if (!levels) return `  ${mark} ${name.padEnd(14)} ${where}`;
  const at = level === 0 ? `level 0 of ${levels}` : `level ${level} of ${levels} (${levelName})`;
  const until =
    order === null || order.forMs === 0
      ? "until further notice"
      : `until ${new Date(order.at + order.forMs).toISOString()} (${formatDuration(order.forMs)})`;
  const who =
    order === null
      ? ""
      : `; level ${order.level} ordered by ${order.by} ${until}${order.why && `: ${order.why}`}`;
  return `  ${mark} ${name.padEnd(14)} ${where}; ${at}${who}`;
}
