/** HAProxy's runtime socket: one command, one reply, a deadline, and no command that it would silently drop. */
import { connect } from "node:net";

/** HAProxy 2.6 drops a command line above 16 KB without a word, and a commit then publishes an empty map (FACTS). */
export const commandMaxBytes = 12 * 1024;

export class HaproxyError extends Error {
  override readonly name = "HaproxyError";
  readonly code: "HOLDFAST_HAPROXY_UNREACHABLE" | "HOLDFAST_HAPROXY_REPLY";
  readonly retryable: boolean;

  constructor(code: HaproxyError["code"], message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
    this.retryable = code === "HOLDFAST_HAPROXY_UNREACHABLE";
  }
}

export class RuntimeSocket {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** The whole reply. Rejects when it did not come in time: whether the command was obeyed is then unknown. */
  ask(command: string, signal: AbortSignal): Promise<string> {
    if (commandMaxBytes < Buffer.byteLength(command)) {
      const bytes = Buffer.byteLength(command);
      return Promise.reject(
        new HaproxyError("HOLDFAST_HAPROXY_REPLY", `a command of ${bytes} bytes is not sent`),
      );
    }
    return new Promise((resolve, reject) => {
      const socket = connect({ path: this.#path });
      let reply = "";
      const fail = (cause: unknown): void => {
        socket.destroy();
        const message = `no reply from HAProxy at ${this.#path} to "${command.slice(0, 60)}": ${String(cause)}`;
        reject(new HaproxyError("HOLDFAST_HAPROXY_UNREACHABLE", message, cause));
      };
      const abort = (): void => fail(signal.reason);
      if (signal.aborted) {
        abort();
        return;
      }
      signal.addEventListener("abort", abort, { once: true });
      socket
        .setEncoding("utf8")
        .on("data", (text: string) => {
          reply += text;
        })
        .on("error", fail)
        .on("end", () => {
          signal.removeEventListener("abort", abort);
          socket.destroy();
          resolve(reply);
        });
      socket.write(`${command}\n`);
    });
  }

  /** For commands that say nothing when all is well. */
  async order(command: string, signal: AbortSignal): Promise<void> {
    const reply = (await this.ask(command, signal)).trim();
    if (reply !== "")
      throw new HaproxyError(
        "HOLDFAST_HAPROXY_REPLY",
        `HAProxy answered "${command.slice(0, 60)}" with: ${reply}`,
      );
  }

  /** As `order`, as many to a line as fit: a thousand changes are a dozen connections. */
  async orderAll(commands: readonly string[], signal: AbortSignal): Promise<void> {
    let line = "";
    for (const command of commands) {
      if (commandMaxBytes < line.length + 1 + command.length) {
        await this.order(line, signal);
        line = "";
      }
      line += line === "" ? command : `;${command}`;
    }
    if (line !== "") await this.order(line, signal);
  }
}
