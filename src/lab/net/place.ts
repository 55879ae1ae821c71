/** A network of its own: where it is, and how a process gets there. */

/** A region, or where clients are. */
export interface NetworkPlace {
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
  /** What puts a command there. `nsenter` becomes the command: same process id, so signals reach it. */
  readonly prefix: readonly string[];
}
