/** An agent that is started beside a member whose disk is dead: its region has a vote, and the member when the disk answers. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { layOut } from "../../src/lab/layout.ts";
import { breakDisk, makeDisk, removeDisksBelow } from "../../src/lab/net/disk.ts";
import { eventually } from "../lab/demo-process.ts";
import { isLeftOut } from "../lab/net/place-probe.ts";

const cli = fileURLToPath(new URL("../../src/cli/cli.ts", import.meta.url));

test("an agent beside a dead disk starts without its member, and opens it when the disk answers", {
  timeout: 120_000,
}, async (context) => {
  if (isLeftOut(context)) return;
  const root = mkdtempSync(join(tmpdir(), "holdfast-dead-disk-"));
  // PostgreSQL's user has to get through.
  chmodSync(root, 0o755);
  const layout = await layOut({ root, profile: "fast", witness: true, store: "embedded", rtoMs: 5000 });
  const [region] = layout.regions;
  assert.ok(region?.member);
  const disk = dirname(region.member.dataDir);
  mkdirSync(dirname(layout.storeFile), { recursive: true });
  writeFileSync(layout.topologyFile, layout.topologyText);
  const start = () => {
    const places = ["--state-dir", join(root, "state"), "--secrets-dir", join(root, "secrets")];
    const args = ["agent", "--topology", layout.topologyFile, "--region", region.name, ...places];
    const child = spawn(process.execPath, [cli, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk) => {
        said += String(chunk);
      });
    const ended = once(child, "close");
    return {
      says: (text: string) => eventually(`${text}: ${said}`, 30_000, () => said.includes(text)),
      end: async () => {
        child.kill("SIGTERM");
        assert.deepEqual(await ended, [0, null], said);
        return said;
      },
    };
  };
  try {
    makeDisk(disk);
    const before = start();
    await before.says("agent-started");
    assert.doesNotMatch(await before.end(), /left out/);
    const broken = breakDisk(disk, { kind: "disk-fails" }, 600_000);
    const agent = start();
    try {
      await agent.says("agent-started");
      await broken.end(AbortSignal.timeout(30_000));
      await agent.says("the disk of pg-west answers");
    } finally {
      assert.match(await agent.end(), /pg-west is left out until its disk answers: .*\(EIO/);
    }
  } finally {
    removeDisksBelow(root);
    rmSync(root, { recursive: true });
  }
});
