/** Runs in a place: sends datagrams to others and counts what arrives; orders by stdin, answers by stdout, line by line. */
import { createSocket } from "node:dgram";
import { createInterface } from "node:readline";

export type ProbeOrder =
  | { readonly kind: "send"; readonly to: string; readonly count: number }
  /** What arrived from there since the last time. */
  | { readonly kind: "take"; readonly from: string };

const port = 7077;
const arrived = new Map<string, number>();
const socket = createSocket("udp4");
socket.on("message", (_, { address }) => arrived.set(address, (arrived.get(address) ?? 0) + 1));
socket.on("error", () => undefined);
socket.bind(port, process.argv[2]);
socket.once("listening", () => console.log("ready"));

createInterface(process.stdin)
  .on("line", (line) => void obey(JSON.parse(line) as ProbeOrder))
  .on("close", () => process.exit(0));

async function obey(order: ProbeOrder): Promise<void> {
  if (order.kind === "take") {
    console.log(String(arrived.get(order.from) ?? 0));
    arrived.delete(order.from);
    return;
  }
  for (let i = 0; i < order.count; i++) {
    await new Promise<void>((resolve) => socket.send("x", port, order.to, () => resolve()));
    // A burst would overrun the socket's buffer, and look like a loss.
    if (i % 50 === 49) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  console.log("sent");
}
