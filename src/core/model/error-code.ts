/** The one register of error codes: what each means, whether trying again can help, and what to do. */

export interface ErrorMeaning {
  /** One sentence: what is known to be so. */
  readonly means: string;
  /** Whether the same call may succeed later without a person doing anything. */
  readonly retryable: boolean;
  /** What a person does about it. */
  readonly advice: string;
}

/** Mirrored by `docs/reference/errors.md`; `test/core/model/error-code.test.ts` compares register, docs and source both ways. */
export const errorCodes = {
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
  HOLDFAST_BACKUP_NOT_FOUND: {
    means: "There is no backup of that name, or none at all.",
    retryable: false,
    advice: 'See what there is with "holdfast backup list", and the folder that it looks into.',
  },
  HOLDFAST_BACKUP_NOT_TAKEN: {
    means: "The backup was not taken; what had arrived of it is removed.",
    retryable: true,
    advice: "See what the message says of the link, the disk or the member, and take it again.",
  },
  HOLDFAST_BACKUP_NO_ROOM: {
    means: "The disk has no room for what is to be written; nothing is left there of it.",
    retryable: false,
    advice: "Make room, keep fewer backups with --keep, or name a folder on another disk.",
  },
  HOLDFAST_BACKUP_NO_SOURCE: {
    means: "No member could be copied from: none answered that leads, or streams from who leads.",
    retryable: true,
    advice:
      "Run it on the host of a member, see whether members run, and whether the secrets are those of the agents.",
  },
  HOLDFAST_BACKUP_UNTESTED: {
    means: "The restore test could not be made; it says nothing of the backup.",
    retryable: false,
    advice: "Correct what the message names, and test again.",
  },
  HOLDFAST_BAD_REQUEST: {
    means: "The edge cannot read the request as HTTP.",
    retryable: false,
    advice: "Correct the client; the detail says what is wrong with the request.",
  },
  HOLDFAST_BODY_TOO_LARGE: {
    means: "The service takes no body of that size.",
    retryable: false,
    advice: "Send less, or raise `requestMaxBytes` in the service.",
  },
  HOLDFAST_DEADLINE: {
    means:
      "The service's deadline passed, with all waiting, tries and repeats; what was sent was safe to repeat.",
    retryable: true,
    advice: "Send it again; if it lasts, compare the deadline with how long answers and holds take.",
  },
  HOLDFAST_DEGRADED: {
    means: "Requests of this class are left out at the degradation level that the service is at.",
    retryable: true,
    advice: 'Come back later: "holdfast status" tells who ordered the level, why, and until when.',
  },
  HOLDFAST_EDGE_ANSWER: {
    means: "What answered on the edge's admin address is not an edge, or one of another version.",
    retryable: false,
    advice: "Check the admin address in the topology, and that both sides run the same version.",
  },
  HOLDFAST_EDGE_CERTIFICATE: {
    means:
      "A certificate of the edge, or its key, was changed and cannot be used: what was shown before is shown on.",
    retryable: true,
    advice:
      "Put a certificate and the key that belongs to it where the message says, before the old one expires.",
  },
  HOLDFAST_EDGE_CONFIG: {
    means: "The edge's configuration is missing, or a value in it is out of range.",
    retryable: false,
    advice: "Correct the value that the message names.",
  },
  HOLDFAST_EDGE_READING: {
    means: "The thread in which an edge reads big routing tables ended: they are read beside requests.",
    retryable: true,
    advice:
      "Nothing is lost, and the next big table starts another thread; if it comes again, look at the memory that the machine has left.",
  },
  HOLDFAST_EDGE_UNAUTHORIZED: {
    means: "The edge refused the admin token.",
    retryable: false,
    advice: "Give agent and edge the same token file.",
  },
  HOLDFAST_EDGE_UNREACHABLE: {
    means: "The edge gave no answer in time: it goes on with the table that it has.",
    retryable: true,
    advice: "See whether its process runs and its admin address can be reached from its agent.",
  },
  HOLDFAST_EDGE_WORKER: {
    means:
      "One of several processes of an edge ended, stood still, or did not take a table in time: another takes its place.",
    retryable: true,
    advice:
      "If it comes again: look at what it said before, and at the memory and CPU that the machine has left.",
  },
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
  HOLDFAST_HAPROXY_REPLY: {
    means:
      "HAProxy answered its runtime socket with something that was not expected: what it goes by is not known to have changed.",
    retryable: false,
    advice: "Check that HAProxy runs with the configuration that Holdfast wrote for it, and its version.",
  },
  HOLDFAST_HAPROXY_UNREACHABLE: {
    means: "HAProxy's runtime socket gave no answer in time: it goes on with the table that it has.",
    retryable: true,
    advice: "See whether HAProxy runs, and whether the agent may open its socket.",
  },
  HOLDFAST_HOLD_ENDED: {
    means: "A request waited for a writer for as long as it may, and none came.",
    retryable: true,
    advice: "Send it again after Retry-After; nothing of it was done.",
  },
  HOLDFAST_IDEMPOTENCY_IN_FLIGHT: {
    means: "A request with this `Idempotency-Key` has not ended yet.",
    retryable: true,
    advice: "Send the same request again after `Retry-After`.",
  },
  HOLDFAST_IDEMPOTENCY_KEY_MALFORMED: {
    means: "The `Idempotency-Key` is not 1 to 255 visible ASCII characters.",
    retryable: false,
    advice: "Correct the client; a UUID is a good key.",
  },
  HOLDFAST_IDEMPOTENCY_KEY_MISSING: {
    means: "The service wants an `Idempotency-Key` with this request.",
    retryable: false,
    advice: "Let the client send one, the same with every repeat of the request.",
  },
  HOLDFAST_IDEMPOTENCY_KEY_REUSED: {
    means: "The `Idempotency-Key` was sent before with another request.",
    retryable: false,
    advice: "Correct the client: each new request has a key of its own.",
  },
  HOLDFAST_JURISDICTION_GONE: {
    means: "Every region that may serve this request is drained, forbidden, fenced or down.",
    retryable: true,
    advice: "Bring one of the regions that the answer names back; no other may serve it.",
  },
  HOLDFAST_JURISDICTION_NONE: {
    means: "The service's limits leave no region for this request, or none speaks of it and one must.",
    retryable: false,
    advice:
      "See `sovereignty.requests` of the service: which limits match the request's header, host, path and network.",
  },
  HOLDFAST_KEY_INVALID: {
    means: "A file or a text that should hold an Ed25519 key holds something else.",
    retryable: false,
    advice:
      "Put the right key there, or remove the file: a new one is made, and every edge must then learn it.",
  },
  HOLDFAST_LISTEN: {
    means: "An edge cannot listen on an address of the topology.",
    retryable: false,
    advice: "End whoever listens there, or give the edge another address.",
  },
  HOLDFAST_METHOD: {
    means: "The edge does not carry this HTTP method.",
    retryable: false,
    advice: "Use another method; CONNECT and TRACE are never carried.",
  },
  HOLDFAST_NO_TABLE: {
    means: "The edge has no routing table yet, neither from its agent nor on its disk.",
    retryable: true,
    advice: "Wait until its agent has given it one, or apply one with the edge's own command.",
  },
  HOLDFAST_OFF: {
    means: "The routing table says that the service is off, on purpose.",
    retryable: true,
    advice: "Look at the reason in the routing table; a person switches it on again.",
  },
  HOLDFAST_OUTCOME_UNKNOWN: {
    means: "The upstream was lost after the request had been sent: it may have been done.",
    retryable: false,
    advice: "Ask what came of it before sending it again; with an Idempotency-Key it is safe to repeat.",
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
  HOLDFAST_PG_DISK: {
    means:
      "The member's disk answered with I/O errors, and nothing is started on it, or copied to it, for now.",
    retryable: true,
    advice:
      "Look at the disk, mend or replace it: it is tried again by itself as soon as it takes what is written, later each time that it fails all the same; at once when the agent is started anew.",
  },
  HOLDFAST_PG_DIVERGED: {
    means: "The member's history and its new primary's have parted.",
    retryable: true,
    advice: "Nothing: its tail is kept and listed, then it is rewound or seeded anew.",
  },
  HOLDFAST_PG_EPOCH: {
    means: "The member's own disk knows a higher epoch than the one that was asked for.",
    retryable: false,
    advice:
      "Nothing: an older order came late. If the control store was restored from a snapshot, see the guide.",
  },
  HOLDFAST_PG_FOLDER: {
    means: "The member's data folder cannot be used.",
    retryable: false,
    advice: "Correct the path, the owner or the mode that the message names.",
  },
  HOLDFAST_PG_FOREIGN_DATA: {
    means: "The data folder belongs to another topology, data store or member.",
    retryable: false,
    advice: "Point the member at its own folder; move the foreign data away by hand if it is of no use.",
  },
  HOLDFAST_PG_NOT_FOUND: {
    means: "No PostgreSQL server programs of a supported version were found.",
    retryable: false,
    advice: "Install PostgreSQL, or name the folder of its programs with HOLDFAST_PG_BIN.",
  },
  HOLDFAST_PG_SEED: {
    means: "The base backup of the primary did not arrive whole.",
    retryable: true,
    advice: "Check the link and the free space; it is begun anew by itself.",
  },
  HOLDFAST_PG_SETTING: {
    means: "A setting of PostgreSQL cannot be set as Holdfast needs it.",
    retryable: false,
    advice: "Remove the setting that the message names from the member's own configuration.",
  },
  HOLDFAST_PG_START: {
    means: "PostgreSQL did not start.",
    retryable: true,
    advice: "Read the end of its log, which the message quotes.",
  },
  HOLDFAST_PG_STATE: {
    means: "The member is not in the state that the act needs.",
    retryable: true,
    advice: "Nothing: it is looked at again and the next step is chosen by what it is.",
  },
  HOLDFAST_PG_TOOL: {
    means: "A PostgreSQL program failed, or is missing where it would help.",
    retryable: true,
    advice: "Read what it said; without pg_rewind a member is seeded anew.",
  },
  HOLDFAST_PG_UPSTREAM: {
    means: "The primary that is to be followed cannot be reached, or is not the one that was named.",
    retryable: true,
    advice: "Check the link between the members, which is direct and not through the gate.",
  },
  HOLDFAST_PG_USER: {
    means: "PostgreSQL refuses to run as this user.",
    retryable: false,
    advice: "Start the agent as another user than root, or name a user that it may become.",
  },
  HOLDFAST_PROCESS_NOT_STARTED: {
    means: "A child process ended, or was not ready in time; nothing of it is left running.",
    retryable: true,
    advice: "Read the end of its log, which the message quotes.",
  },
  HOLDFAST_READ_ONLY: {
    means: "The routing table says that the service is read-only now.",
    retryable: true,
    advice: "Send it again after Retry-After; reads are served.",
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
  HOLDFAST_SHED: {
    means: "There is room only for requests of a class that matters more.",
    retryable: true,
    advice: "Send it again after Retry-After; see the service's capacity if it lasts.",
  },
  HOLDFAST_STATIC: {
    means: "The routing table says that the service serves fixed content only.",
    retryable: true,
    advice: "Send it again after Retry-After.",
  },
  HOLDFAST_STORE_CLOSED: {
    means: "The control store was closed by this process.",
    retryable: false,
    advice: "Nothing: the agent is being stopped.",
  },
  HOLDFAST_STORE_CORRUPT: {
    means: "The control store's file is damaged.",
    retryable: false,
    advice:
      "Move the file away and restore it, or start with an empty one: members keep their epochs on their own disks.",
  },
  HOLDFAST_STORE_DENIED: {
    means: "This process may not open the control store.",
    retryable: false,
    advice: "Correct the owner and the mode of the file and its folder, or the credentials.",
  },
  HOLDFAST_STORE_FAILED: {
    means: "The control store failed in a way that is not known to help itself.",
    retryable: true,
    advice: "Read the cause; it is opened anew by itself.",
  },
  HOLDFAST_STORE_FULL: {
    means: "The control store has no room to write.",
    retryable: true,
    advice: "Free space on its disk, or compact it; reads go on.",
  },
  HOLDFAST_STORE_MOVED: {
    means: "The records of the topology were moved to another control store, or are on their way.",
    retryable: false,
    advice:
      'Name the store that has them in the topology; a move that was interrupted is gone on with by the same "holdfast store migrate".',
  },
  HOLDFAST_STORE_MOVE_FAILED: {
    means:
      "A move to another control store stopped: somebody else writes in one of the two, or one lost a write.",
    retryable: false,
    advice:
      'Stop whoever writes there, then repeat "holdfast store migrate", or take the move back with --undo: nothing is lost.',
  },
  HOLDFAST_STORE_MOVE_UNKNOWN: {
    means: "A move to another control store stopped at a write whose outcome is not known; nothing is lost.",
    retryable: true,
    advice: 'Repeat "holdfast store migrate" when both stores answer: it reads what is there and goes on.',
  },
  HOLDFAST_STORE_OTHER_SCHEMA: {
    means: "The control store was written by another version, or is no control store.",
    retryable: false,
    advice: "Run the version that wrote it, or name another path.",
  },
  HOLDFAST_STORE_OTHER_TOPOLOGY: {
    means: "The control store belongs to another topology.",
    retryable: false,
    advice: "Give each topology a store of its own: correct the path.",
  },
  HOLDFAST_STORE_OVERLOADED: {
    means: "More calls to the control store are waiting than it may have.",
    retryable: true,
    advice: "Nothing, if it passes; else find out what keeps the store from answering.",
  },
  HOLDFAST_STORE_READ_ONLY: {
    means: "The control store can be read and not written.",
    retryable: true,
    advice: "See whether its disk was mounted read-only after a fault.",
  },
  HOLDFAST_STORE_REFUSED: {
    means: "A key or a value is outside the limits of the control store.",
    retryable: false,
    advice: "A bug: report it with the message.",
  },
  HOLDFAST_STORE_TIMEOUT: {
    means: "The control store gave no answer in time; whether it was written is not known.",
    retryable: true,
    advice:
      "Check the store's health and the link to it; without a quorum nobody claims, and holders freeze.",
  },
  HOLDFAST_STORE_UNREACHABLE: {
    means: "The control store cannot be reached.",
    retryable: true,
    advice: "Check its endpoints, or its file's folder; traffic goes on as it was routed.",
  },
  HOLDFAST_TRANSACTION_CONFLICT: {
    means: "A deadlock or serialization failure undid the request's transaction; nothing was done.",
    retryable: true,
    advice: "Send the same request again; if it happens often, let the service take its locks in one order.",
  },
  HOLDFAST_UNKNOWN_SERVICE: {
    means: "No service of the routing table answers to this host name.",
    retryable: false,
    advice: "Check the Host header, and the services of the topology.",
  },
  HOLDFAST_WORK_TOO_LONG: {
    means: "The service gave the request up before its commit; nothing was committed.",
    retryable: true,
    advice: "Look for what the service waits for, such as a lock; or raise `workWithinMs`.",
  },
  HOLDFAST_WRITER_CHANGING: {
    means: "The service cannot commit now; the detail says whether this request may have been done.",
    retryable: true,
    advice: "Send the same request again under the same `Idempotency-Key`; the edge does it by itself.",
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
