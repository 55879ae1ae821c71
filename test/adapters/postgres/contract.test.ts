/** The port's contract, against PostgreSQL of the system and of the npm package. */
import { findTree } from "../../../src/adapters/postgres/process-tree.ts";
import { databaseContract } from "../../contract/database.ts";
import { installations, Lab } from "./lab.ts";

for (const { name, binDir } of await installations())
  databaseContract(name, async () => {
    const lab = await Lab.make(binDir);
    const tree = (member: string) => findTree(lab.treePlace(member));
    return {
      names: ["pg-a", "pg-b", "pg-c"] as const,
      open: (member) => lab.open(member),
      upstream: (member, epoch) => lab.upstream(member, epoch),
      client: (member) => lab.writer(member),
      processes: (member) => tree(member).map((each) => each.pid),
      stall: (member) => {
        for (const each of tree(member)) process.kill(each.pid, "SIGSTOP");
      },
      close: () => lab[Symbol.asyncDispose](),
    };
  });
