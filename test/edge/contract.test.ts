/** Our edge, as a real process, under the contract of the port `router`. */
import { EdgeRouter } from "../../src/adapters/edge/edge-router.ts";
import { routerContract } from "../contract/router.ts";
import { type EdgeProcess, edgeConfig, folder, startProcess } from "./parts/edges.ts";
import { adminToken } from "./parts/tables.ts";

routerContract("edge", async () => {
  const state = folder();
  let edge: EdgeProcess = await startProcess(edgeConfig(state.path));
  return {
    open: async () => {
      const url = new URL(edge.admin);
      return new EdgeRouter({ admin: { host: url.hostname, port: Number(url.port) }, token: adminToken });
    },
    base: () => edge.http,
    restart: async () => {
      await edge[Symbol.asyncDispose]();
      edge = await startProcess(edgeConfig(state.path));
    },
    remove: async () => {
      await edge[Symbol.asyncDispose]();
      state[Symbol.dispose]();
    },
  };
});
