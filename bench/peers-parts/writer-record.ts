/** What the writers were told: between the process that writes and whoever measures. */

export interface WriterConfig {
  /** Names the run: prefix of every row. */
  readonly run: string;
  readonly clients: readonly WriterClient[];
  readonly connectTimeoutMs: number;
  /** Of one write, its wait for standbys included. On our side only: a server that gives up calls it a success. */
  readonly statementTimeoutMs: number;
  readonly recordFile: string;
}

export interface WriterClient {
  readonly name: string;
  /** Tried in turn; the next when one has failed. */
  readonly urls: readonly string[];
  /** From one write to the next, unless the answer takes longer. */
  readonly everyMs: number;
}

/** Who acknowledged. Epochs of peers are timelines. */
export interface Term {
  readonly member: string;
  readonly epoch: number;
}

/** CLOCK_MONOTONIC of the host, ms, which is one for all of its processes. */
export interface Acknowledgement extends Term {
  readonly client: string;
  readonly number: number;
  readonly sentAt: number;
  readonly doneAt: number;
}

/** A line of it every 100 ms, while the writers run. */
export interface LiveWriters {
  readonly terms: readonly (Term & { readonly firstAt: number; readonly lastAt: number })[];
  readonly acknowledged: number;
  /** What was said -> how often. */
  readonly failures: Readonly<Record<string, number>>;
}

export interface WriterRecord extends Pick<LiveWriters, "failures"> {
  readonly acknowledgements: readonly Acknowledgement[];
  /** Longest time that the process itself did not run: more than a fraction of a second, and the figures are the machine's. */
  readonly stalledMs: number;
}

export const writesTable = `CREATE TABLE IF NOT EXISTS bench_writes (
  run text, client text, number bigint, epoch bigint, member text, PRIMARY KEY (run, client, number))`;
