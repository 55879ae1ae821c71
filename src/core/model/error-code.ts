/** The one register of error codes: what each means, whether trying again can help, and what to do. */

export interface ErrorMeaning {
  /** One sentence: what is known to be so. */
  readonly means: string;
  /** Whether the same call may succeed later without a person doing anything. */
  readonly retryable: boolean;
  /** What a person does about it. */
  readonly advice: string;
}

/** Mirrored by `docs/reference/errors.md`; `test/core/model/error-code.test.ts` compares register, docs and source. */
export const errorCodes = {
  HOLDFAST_FENCER_ALREADY_RUNNING: {
    means: "Another fencer answers on this socket: a member has one fencer.",
    retryable: false,
    advice: "Leave it running, or end the process that the message names before starting another.",
  },
  HOLDFAST_FENCER_CONFIG_INVALID: {
    means: "The fencer's configuration file is missing, is not JSON, or a value in it is out of range.",
    retryable: false,
    advice: "Correct the value that the message names.",
  },
  HOLDFAST_FENCER_MEMORY_UNUSABLE: {
    means: "The fencer's state file cannot be opened or written.",
    retryable: false,
    advice: "Check the folder, its owner and the free space; the member must not be promoted meanwhile.",
  },
  HOLDFAST_FENCER_UNREACHABLE: {
    means:
      "The fencer beside the member did not answer in time: nothing is known about whether it was petted.",
    retryable: true,
    advice: "See whether the fencer process runs and whether the socket path is its own; start it again.",
  },
} as const satisfies Readonly<Record<string, ErrorMeaning>>;

export type ErrorCode = keyof typeof errorCodes;

/** What an adapter rejects with. The message says what was tried, on what, what is known, what to do next. */
export class HoldfastError extends Error {
  override readonly name = "HoldfastError";
  readonly code: ErrorCode;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.code = code;
    this.retryable = errorCodes[code].retryable;
  }
}
