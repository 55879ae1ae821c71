/** The unix socket that a fencer listens on: one fencer a member, a dead one's socket is replaced. */
import { chmodSync, linkSync, mkdirSync, rmSync, statSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { type FencerReply, lineBytesMax, parseQuestion } from "../adapters/fencer/wire.ts";
import { HoldfastError } from "../core/model/error-code.ts";
import type { Guard } from "./guard.ts";

/** An agent holds one connection, a person's command another for a moment. */
const connectionsMax = 32;
const waitingBytesMax = 64 * 1024;

/** Rejects with HOLDFAST_FENCER_ALREADY_RUNNING if somebody answers, also if that one is frozen. */
export async function refuseASecond(path: string): Promise<void> {
  if (await isAnswered(path)) throw alreadyRunning(path);
}

export async function openDoor(path: string, guard: Guard): Promise<{ close: () => Promise<void> }> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    serve(socket, guard);
  });
  server.maxConnections = connectionsMax;
  // Bound under a name of its own and then linked: of two that start at once, exactly one gets the name.
  const own = join(dirname(path), `.${process.pid}`);
  rmSync(own, { force: true });
  await listen(server, own);
  chmodSync(own, 0o600);
  const inode = statSync(own).ino;
  try {
    await takeName(own, path);
  } finally {
    rmSync(own, { force: true });
  }
  return {
    async close() {
      if (statSync(path, { throwIfNoEntry: false })?.ino === inode) rmSync(path, { force: true });
      const closed = new Promise((done) => server.close(done));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function takeName(own: string, path: string): Promise<void> {
  for (;;) {
    try {
      linkSync(own, path);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const standing = statSync(path, { throwIfNoEntry: false })?.ino;
    if (await isAnswered(path)) throw alreadyRunning(path);
    // Only the one that was found dead is taken away.
    if (statSync(path, { throwIfNoEntry: false })?.ino === standing) rmSync(path, { force: true });
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** A frozen fencer still has its socket open: the kernel takes the connection. A dead one's socket refuses. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      socket.destroy();
      if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(false);
      // EAGAIN: its queue of connections is full, so it lives.
      else if (error.code === "EAGAIN") resolve(true);
      else reject(error);
    });
  });
}

function alreadyRunning(path: string): HoldfastError {
  return new HoldfastError(
    "HOLDFAST_FENCER_ALREADY_RUNNING",
    `cannot listen on ${path}: another fencer answers there; leave it running, or end that one first`,
  );
}

function serve(socket: Socket, guard: Guard): void {
  let rest = "";
  socket.setEncoding("utf8");
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: string) => {
    rest += chunk;
    for (let end = rest.indexOf("\n"); 0 <= end; end = rest.indexOf("\n")) {
      const line = rest.slice(0, end);
      rest = rest.slice(end + 1);
      void answer(line, socket, guard);
    }
    if (lineBytesMax < rest.length) socket.destroy();
  });
}

async function answer(line: string, socket: Socket, guard: Guard): Promise<void> {
  const question = parseQuestion(line);
  if (question === null) {
    socket.destroy();
    return;
  }
  const { done, because } =
    question.ask === "pet"
      ? await guard.pet(question)
      : question.ask === "disarm"
        ? await guard.disarm(question)
        : { done: true, because: "" };
  // Who asks and does not read the answers is not waited for.
  if (waitingBytesMax < socket.writableLength) socket.destroy();
  if (socket.destroyed) return;
  const reply: FencerReply = { id: question.id, done, because, state: guard.state() };
  socket.write(`${JSON.stringify(reply)}\n`);
}
