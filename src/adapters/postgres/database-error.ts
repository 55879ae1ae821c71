/** What the PostgreSQL adapter could not do, said so that a person knows what to do next. */

export type DatabaseErrorCode =
  | "HOLDFAST_BACKUP_NOT_FOUND"
  | "HOLDFAST_BACKUP_NOT_TAKEN"
  | "HOLDFAST_BACKUP_NO_ROOM"
  | "HOLDFAST_BACKUP_NO_SOURCE"
  | "HOLDFAST_BACKUP_UNTESTED"
  | "HOLDFAST_PG_NOT_FOUND"
  | "HOLDFAST_PG_USER"
  | "HOLDFAST_PG_FOLDER"
  | "HOLDFAST_PG_FOREIGN_DATA"
  | "HOLDFAST_PG_DISK"
  | "HOLDFAST_PG_SETTING"
  | "HOLDFAST_PG_START"
  | "HOLDFAST_PG_STATE"
  | "HOLDFAST_PG_EPOCH"
  | "HOLDFAST_PG_UPSTREAM"
  | "HOLDFAST_PG_DIVERGED"
  | "HOLDFAST_PG_SEED"
  | "HOLDFAST_PG_TOOL";

/** Thrown inside the room when it is certain that nothing was changed for good; outcomes carry its message. */
export class DatabaseError extends Error {
  override readonly name = "DatabaseError";
  readonly code: DatabaseErrorCode;
  readonly retryable: boolean;

  constructor(
    code: DatabaseErrorCode,
    message: string,
    options: { retryable?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}
