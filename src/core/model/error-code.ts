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
  HOLDFAST_ADDRESS_UNUSABLE: {
    means: "The address cannot be listened on.",
    retryable: false,
    advice: "End whoever listens there, or give this one another address in the topology.",
  },
  HOLDFAST_AGENT_ANSWER: {
    means: "What answered is not an agent, or one of another version.",
    retryable: false,
    advice: "Check the address, and that both sides run the same version.",
  },
  HOLDFAST_AGENT_UNREACHABLE: {
    means: "The agent gave no answer in time.",
    retryable: true,
    advice:
      "Check that the agent runs and that its address can be reached from here; ask the agent of another region.",
  },
  HOLDFAST_PEER_ANSWER: {
    means: "Another region's agent answered something that is not an answer: nothing was promised.",
    retryable: false,
    advice: "Check that all agents share one token and one version.",
  },
  HOLDFAST_PEER_UNREACHABLE: {
    means: "Another region's agent gave no answer in time: nothing was promised.",
    retryable: true,
    advice: "Check the link between the two regions.",
  },
  HOLDFAST_REQUEST_CONFLICT: {
    means: "It was understood and not done: a rule, an epoch or another request is against it.",
    retryable: false,
    advice: "Look at the status, then ask again for the epoch that it shows.",
  },
  HOLDFAST_REQUEST_FAILED: {
    means: "The agent failed while it answered; whether it was done is not known.",
    retryable: true,
    advice: "Look at the status before asking again; the agent's log has the reason.",
  },
  HOLDFAST_REQUEST_FORBIDDEN: {
    means: "The policy does not let this person do this.",
    retryable: false,
    advice: "Ask somebody who may.",
  },
  HOLDFAST_REQUEST_INVALID: {
    means: "What was sent is not a request that the API takes.",
    retryable: false,
    advice: "Correct what the detail names; GET /v1/openapi.json describes all requests.",
  },
  HOLDFAST_REQUEST_TOO_LARGE: {
    means: "The body is larger than any request.",
    retryable: false,
    advice: "Send less.",
  },
  HOLDFAST_REQUEST_UNAUTHENTICATED: {
    means: "The agent does not know who asks.",
    retryable: false,
    advice: "Send the token of the agent's token file as a bearer token.",
  },
  HOLDFAST_REQUEST_UNAVAILABLE: {
    means: "The agent cannot do this now.",
    retryable: true,
    advice: "Wait and try again; the detail says what it waits for.",
  },
  HOLDFAST_REQUEST_UNKNOWN: {
    means: "There is nothing under this path or this id.",
    retryable: false,
    advice: "Check the id; GET /v1/openapi.json lists all paths.",
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
