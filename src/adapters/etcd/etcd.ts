/** The control store of many sites: the port `store` over an etcd cluster, 3.4 or later. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Revision } from "../../core/model/id.ts";
import {
  type CasOutcome,
  type Store,
  type StoredRecord,
  StoreError,
  type WatchEvent,
  whyNotStorable,
} from "../../ports/store.ts";
import { Endpoints } from "./endpoints.ts";
import { EtcdFailure, type Failure, toFailure } from "./failure.ts";
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  type CompareSchema,
  type ResponseHeader,
  TxnRequestSchema,
} from "./generated/etcd_pb.js";
import { decode, encode, type Keys, keysOf, toRecord } from "./keys.ts";
import { watchPrefix } from "./watch.ts";

const SCHEMA = "1";

export interface EtcdStoreOptions {
  /** Of its members, such as `https://10.0.0.1:2379`; at least one, the nearest first. */
  readonly endpoints: readonly string[];
  /** Its records are under `holdfast/TOPOLOGY/`: several topologies can share a cluster. */
  readonly topology: string;
  /** PEM texts, for `https` endpoints. Without `ca`: Node's own. */
  readonly tls?: { readonly ca?: string; readonly certificate?: string; readonly key?: string };
  readonly credentials?: { readonly user: string; readonly password: string };
  /**
   * Deadline of one attempt at one endpoint, 50 ms or more; a round trip to it comes on top. Default 700: more than an election at 500 ms, and two attempts
   * fit into the 1.5 s lease. Shorter: a slow commit becomes `unknown`. Longer: a silent endpoint costs more renewals.
   */
  readonly callTimeoutMs?: number;
  /** How long `openEtcdStore` tries. Default 5,000. */
  readonly openTimeoutMs?: number;
}

/** Rejects with `StoreError` when no endpoint answers, or the records are of another schema. */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<Store> {
  const store = new EtcdStore(options);
  try {
    await store.arrange();
    await store.checkSchema(AbortSignal.timeout(options.openTimeoutMs ?? 5000));
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

class EtcdStore implements Store {
  readonly #endpoints: Endpoints;
  readonly #keys: Keys;
  readonly #callTimeoutMs: number;

  constructor(options: EtcdStoreOptions) {
    this.#callTimeoutMs = options.callTimeoutMs ?? 700;
    this.#endpoints = new Endpoints({ ...options, callTimeoutMs: this.#callTimeoutMs });
    this.#keys = keysOf(options.topology);
  }

  async get(key: string, signal: AbortSignal): Promise<StoredRecord | null> {
    const { kvs } = await this.#read(`read ${JSON.stringify(key)}`, key, signal, { key: this.#keys.of(key) });
    return kvs[0] === undefined ? null : toRecord(this.#keys, kvs[0]);
  }

  async list(
    prefix: string,
    signal: AbortSignal,
  ): Promise<{ readonly records: readonly StoredRecord[]; readonly revision: Revision }> {
    const attempt = `list ${JSON.stringify(prefix)}`;
    // The empty prefix is every key's.
    const { kvs, header } = await this.#read(attempt, prefix || "-", signal, this.#keys.under(prefix));
    return { records: kvs.map((kv) => toRecord(this.#keys, kv)), revision: revisionOf(header) };
  }

  compareAndSwap(
    key: string,
    expect: Revision,
    value: string | null,
    signal: AbortSignal,
    orValue?: string,
  ): Promise<CasOutcome> {
    const refusal = this.#refuse(key, value);
    if (refusal !== null) return Promise.resolve(this.#unknown(key, refusal));
    return this.#swap(this.#keys.of(key), expect, value, signal, orValue).catch((error: unknown) =>
      this.#unknown(key, toFailure(error)),
    );
  }

  watch(prefix: string, from: Revision, signal: AbortSignal): AsyncIterable<WatchEvent> {
    const source = {
      endpoints: this.#endpoints,
      keys: this.#keys,
      callTimeoutMs: this.#callTimeoutMs,
      head: (attempt: AbortSignal) => this.#head(attempt),
      list: (of: string, attempt: AbortSignal) => this.list(of, attempt),
    };
    return watchPrefix(source, prefix, from, AbortSignal.any([signal, this.#endpoints.closing]));
  }

  close(): Promise<void> {
    this.#endpoints.close();
    return Promise.resolve();
  }

  arrange(): Promise<void> {
    return this.#endpoints.arrange();
  }

  /** Writes the schema if there is none. */
  async checkSchema(signal: AbortSignal): Promise<void> {
    for (;;) {
      const { kvs } = await this.#read("begin", "-", signal, { key: this.#keys.schema });
      const found = kvs[0] === undefined ? null : decode(kvs[0].value);
      if (found === SCHEMA) return;
      if (found !== null)
        throw this.#toError("begin", {
          code: "HOLDFAST_STORE_OTHER_SCHEMA",
          retryable: false,
          problem: `its records have schema ${found}, and this program knows schema ${SCHEMA}`,
          advice: "run the version of holdfast that wrote them, or name another topology",
          certain: true,
          next: "give-up",
        });
      // What comes of it is read anew: another agent may be first, and an unknown outcome is a written one or not.
      await this.#swap(this.#keys.schema, 0, SCHEMA, signal).catch((error: unknown) => {
        const failure = toFailure(error);
        if (failure.next === "give-up") throw this.#toError("begin", failure, error);
      });
    }
  }

  async #swap(
    key: Uint8Array,
    expect: Revision,
    value: string | null,
    signal: AbortSignal,
    orValue?: string,
  ): Promise<CasOutcome> {
    const txn = swapIf(key, value, {
      target: Compare_CompareTarget.MOD,
      targetUnion: { case: "modRevision", value: BigInt(expect) },
    });
    // A record that is not there has no value: it equals none.
    const orTxn =
      orValue === undefined
        ? null
        : swapIf(key, value, {
            target: Compare_CompareTarget.VALUE,
            targetUnion: { case: "value", value: encode(orValue) },
          });
    const answer = await this.#endpoints.call(
      ({ kv }, options) =>
        kv.txn(
          orTxn === null
            ? txn
            : {
                ...txn,
                failure: [{ request: { case: "requestTxn", value: create(TxnRequestSchema, orTxn) } }],
              },
          options,
        ),
      { signal, repeatable: false },
    );
    const [inner] = answer.responses;
    const last = inner?.response.case === "responseTxn" ? inner.response.value : answer;
    if (answer.succeeded || last.succeeded) return { kind: "succeeded", revision: revisionOf(answer.header) };
    const found = last.responses[0]?.response;
    const kv = found?.case === "responseRange" ? found.value.kvs[0] : undefined;
    return { kind: "conflict", current: kv === undefined ? null : toRecord(this.#keys, kv) };
  }

  async #head(signal: AbortSignal): Promise<{ readonly clusterId: bigint; readonly revision: Revision }> {
    const { header } = await this.#read("watch", "-", signal, { key: this.#keys.schema });
    return { clusterId: header?.clusterId ?? 0n, revision: revisionOf(header) };
  }

  async #read(
    attempt: string,
    key: string,
    signal: AbortSignal,
    range: { readonly key: Uint8Array; readonly rangeEnd?: Uint8Array },
  ) {
    const refusal = this.#refuse(key, null);
    if (refusal !== null) throw this.#toError(attempt, refusal);
    try {
      return await this.#endpoints.call(({ kv }, options) => kv.range(range, options), {
        signal,
        repeatable: true,
      });
    } catch (error) {
      throw this.#toError(attempt, this.#endpoints.closing.aborted ? closed : toFailure(error), error);
    }
  }

  #refuse(key: string, value: string | null): Failure | null {
    if (this.#endpoints.closing.aborted) return closed;
    const problem = whyNotStorable(key, value);
    if (problem === null) return null;
    return {
      code: "HOLDFAST_STORE_REFUSED",
      retryable: false,
      problem,
      advice: "this is a bug of the caller: report it with what the agent logged",
      certain: true,
      next: "give-up",
    };
  }

  #unknown(key: string, failure: Failure): CasOutcome {
    const { message } = this.#toError(`write ${JSON.stringify(key)}`, failure);
    return {
      kind: "unknown",
      because: `${message} (${failure.certain ? "certainly not" : "perhaps"} written)`,
    };
  }

  #toError(attempt: string, { code, retryable, problem, advice }: Failure, cause?: unknown): StoreError {
    const message = `cannot ${attempt} in etcd at ${this.#endpoints.names}: ${problem}; ${advice}`;
    return new StoreError(code, retryable, message, cause instanceof EtcdFailure ? cause.cause : cause);
  }
}

/** Writes, or deletes, if what stands is as `compared`; else reads it. */
function swapIf(
  key: Uint8Array,
  value: string | null,
  compared: Pick<MessageInitShape<typeof CompareSchema>, "target" | "targetUnion">,
) {
  return {
    compare: [{ result: Compare_CompareResult.EQUAL, key, ...compared }],
    success: [
      value === null
        ? { request: { case: "requestDeleteRange", value: { key } } }
        : { request: { case: "requestPut", value: { key, value: encode(value) } } },
    ],
    failure: [{ request: { case: "requestRange", value: { key } } }],
  } as const satisfies MessageInitShape<typeof TxnRequestSchema>;
}

const closed: Failure = {
  code: "HOLDFAST_STORE_CLOSED",
  retryable: false,
  problem: "it was closed",
  advice: "open it again",
  certain: true,
  next: "give-up",
};

function revisionOf(header: ResponseHeader | undefined): Revision {
  if (header === undefined) throw new Error("etcd sent an answer without a header");
  return Number(header.revision);
}
