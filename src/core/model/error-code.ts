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
  HOLDFAST_FILE_UNREADABLE: {
    means: "A file of Holdfast's own exists and cannot be read.",
    retryable: false,
    advice: "Check the owner and the mode of the file, and the health of the disk.",
  },
  HOLDFAST_FILE_UNWRITABLE: {
    means: "A file of Holdfast's own could not be replaced; its old content still stands.",
    retryable: true,
    advice: "Check the free space, the owner of the folder, and the health of the disk.",
  },
  HOLDFAST_KEY_INVALID: {
    means: "A file or a text that should hold an Ed25519 key holds something else.",
    retryable: false,
    advice:
      "Put the right key there, or remove the file: a new one is made, and every edge must then learn it.",
  },
  HOLDFAST_PROCESS_NOT_STARTED: {
    means: "A child process ended, or was not ready in time; nothing of it is left running.",
    retryable: true,
    advice: "Read the end of its log, which the message quotes.",
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
