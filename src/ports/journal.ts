/** What we ask of an agent's own disk: to keep what happened and what must never be forgotten. */
export interface Journal {
  /** Appends one JSON line. Resolves when it is handed to the disk; the order of calls is kept. */
  append(line: string): Promise<void>;
  close(): Promise<void>;
}
