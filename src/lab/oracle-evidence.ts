/** What the oracle is given beside the record of the load, and what it may find. */

/** What is in the database at the end. */
export interface StoredOrders {
  readonly orders: readonly OrderRow[];
  readonly keys: readonly KeyRow[];
}

export interface OrderRow {
  readonly id: string;
  /** Idempotency-Key; null: it came without one. */
  readonly key: string | null;
  readonly item: string;
  readonly epoch: number;
  readonly member: string;
}

export interface KeyRow {
  readonly key: string;
  readonly orderId: string;
}

export interface Violation {
  readonly kind: /** Acknowledged, and not there. */
    | "lost"
    /** Asked for once, there twice. */
    | "doubled"
    /** There, and never asked for. */
    | "fabricated"
    /** There, and not as it was asked for or acknowledged. */
    | "altered"
    /** Half of a transaction: a key without its order, or the reverse. */
    | "torn"
    | "overlap"
    | "epoch-went-down"
    | "epoch-shared";
  /** With what was seen, for whoever looks into it. */
  readonly because: string;
}
