/** Completes package-lock.json with optional packages of other platforms, without which `npm ci` refuses it. */
// npm leaves them out when it cannot look them up. Run it after changing a dependency:
//     node scripts/complete-lock.mjs package-lock.json
import { readFileSync, writeFileSync } from "node:fs";

const file = process.argv[2];
const lock = JSON.parse(readFileSync(file, "utf8"));
const os = {
  android: "android",
  darwin: "darwin",
  freebsd: "freebsd",
  linux: "linux",
  openharmony: "openharmony",
  win32: "win32",
};
let added = 0;
for (const [path, p] of Object.entries(lock.packages))
  for (const [name, version] of Object.entries(p.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key]) continue;
    if (path === "") continue;
    const m =
      /binding-(\w+)-(arm64|arm|x64|ia32|ppc64|riscv64|s390x|wasm32)(?:-(gnu|musl|msvc|eabi|gnueabihf|musleabihf))?$/.exec(
        name,
      ) ?? /[-/](darwin|linux|win32|android|freebsd)-(arm64|x64|arm|ia32)(?:-(\w+))?$/.exec(name);
    if (!m) {
      console.log("skip", path, name);
      continue;
    }
    lock.packages[key] = {
      version,
      ...(p.dev ? { dev: true } : {}),
      optional: true,
      cpu: [m[2]],
      os: [os[m[1]] ?? m[1]],
      ...(m[3] === "musl" || m[3] === "musleabihf"
        ? { libc: ["musl"] }
        : m[1] === "linux" && m[3]
          ? { libc: ["glibc"] }
          : {}),
    };
    added++;
  }
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log("added", added);
