/** One administrative connection that is kept open, and given up whole as soon as an answer is late. */
import { Client, type ClientConfig, type QueryResultRow } from "pg";

export class Session {
  readonly #config: ClientConfig;
  #client: Promise<Client> | null = null;
  #open: Client | null = null;
  readonly #onLost: () => void;

  /** `onLost`: the other side has ended an open connection. */
  constructor(config: ClientConfig, onLost: () => void = () => undefined) {
    this.#onLost = onLost;
    this.#config = { ...config, application_name: config.application_name ?? "holdfast", keepAlive: true };
  }

  /** Rejects when there is no answer in time; the connection is then destroyed, as its state is not known. */
  async query<R extends QueryResultRow>(
    text: string,
    values: readonly unknown[],
    timeoutMs: number,
  ): Promise<readonly R[]> {
    const ask = async (): Promise<readonly R[]> => {
      this.#client ??= this.#connect(timeoutMs);
      const client = await this.#client;
      const result =
        values.length === 0 ? await client.query<R>(text) : await client.query<R>(text, [...values]);
      return result.rows;
    };
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer after ${timeoutMs} ms`)), timeoutMs);
    });
    try {
      return await Promise.race([ask(), late]);
    } catch (error) {
      // An answer with an SQLSTATE below class 57 came over a sound connection.
      const code = (error as { code?: unknown }).code;
      const sound = typeof code === "string" && /^[0-4][0-9A-Z]{4}$/.test(code);
      if (!sound) this.drop();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Process id of the backend behind the open connection. */
  get backendPid(): number | null {
    return (this.#open as (Client & { processID?: number }) | null)?.processID ?? null;
  }

  async #connect(timeoutMs: number): Promise<Client> {
    const client = new Client({ ...this.#config, connectionTimeoutMillis: timeoutMs });
    this.#open = client;
    let wasOpen = false;
    const forget = () => {
      if (this.#open !== client) return;
      this.#open = null;
      this.#client = null;
      if (wasOpen) this.#onLost();
    };
    client.on("error", forget);
    client.on("end", forget);
    try {
      await client.connect();
      wasOpen = true;
    } catch (error) {
      destroy(client);
      forget();
      throw error;
    }
    return client;
  }

  drop(): void {
    const client = this.#open;
    const pending = this.#client;
    this.#open = null;
    this.#client = null;
    // It may still be connecting: whatever comes of it, nobody waits for it any more.
    pending?.catch(() => undefined);
    if (client !== null) destroy(client);
  }

  close(): void {
    this.drop();
  }
}

/** `end()` would wait for a server that may never answer. */
export function destroy(client: Client): void {
  client.on("error", () => undefined);
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}
