/** Folders that two would share: the one thing here that could cost data. */
import type { Breach, Draft, Drafts } from "./draft.ts";
import type { KindName } from "./language.ts";
import type { Path } from "./read.ts";
import { absolutePath, hostKey } from "./units.ts";

interface Folder {
  readonly draft: Draft<KindName>;
  readonly path: Path;
  readonly host: string;
  readonly folder: string;
}

/** The same folder on two hosts is two folders. One inside another is taken twice too: seeding empties a folder. */
export function folders(drafts: Drafts, baseDir: string): readonly Breach[] {
  const all: Folder[] = [];
  for (const draft of drafts.Topology) {
    const { store } = draft.spec;
    if (store?.kind !== "embedded" || store.path === undefined) continue;
    const folder = absolutePath(baseDir, store.path);
    all.push({ draft, path: ["spec", "store", "embedded", "path"], host: anyHost, folder });
  }
  for (const draft of drafts.DataStore) {
    for (const [index, member] of (draft.spec.members ?? []).entries()) {
      if (member?.dataDir === undefined || member.address?.host === undefined) continue;
      const folder = absolutePath(baseDir, member.dataDir);
      all.push({
        draft,
        path: ["spec", "members", index, "dataDir"],
        host: hostKey(member.address.host),
        folder,
      });
    }
    const { region, folder: below } = draft.spec.backups ?? {};
    const host = draft.spec.members?.find((member) => member?.region === region)?.address?.host;
    if (below === undefined || region === undefined || host === undefined) continue;
    const folder = absolutePath(baseDir, `${below}/${draft.name}`);
    all.push({ draft, path: ["spec", "backups", "folder"], host: hostKey(host), folder });
  }
  for (const draft of drafts.Edge) {
    const { stateDir, admin } = draft.spec;
    if (stateDir === undefined || admin?.host === undefined) continue;
    const folder = absolutePath(baseDir, stateDir);
    all.push({ draft, path: ["spec", "stateDir"], host: hostKey(admin.host), folder });
  }
  for (const draft of drafts.Router) {
    const { http, stateDir } = draft.spec.plane ?? {};
    if (stateDir === undefined || http?.host === undefined) continue;
    const folder = absolutePath(baseDir, stateDir);
    all.push({ draft, path: ["spec", "plane", "haproxy", "stateDir"], host: hostKey(http.host), folder });
  }
  return all.flatMap((later, index) => {
    const first = all.slice(0, index).find((earlier) => meet(earlier, later) && overlap(earlier, later));
    if (first === undefined) return [];
    const same = first.folder === later.folder;
    const message = same
      ? `the folder ${later.folder} on ${later.host} is taken twice`
      : `the folders ${later.folder} and ${first.folder} on ${later.host} lie in one another`;
    const hint =
      "each member, each edge and each data store's backups needs a folder of its own: seeding a member empties its folder";
    return [{ draft: later.draft, path: later.path, message, hint, first: { ...first, label: "the first" } }];
  });
}

/** The embedded store is on the one machine that there is. Edges may keep their tables beside it: they empty nothing. */
const anyHost = "*";

function meet(earlier: Folder, later: Folder): boolean {
  if (earlier.host === anyHost) return later.draft.kind === "DataStore";
  return earlier.host === later.host;
}

function overlap(a: Folder, b: Folder): boolean {
  return `${a.folder}/`.startsWith(`${b.folder}/`) || `${b.folder}/`.startsWith(`${a.folder}/`);
}
