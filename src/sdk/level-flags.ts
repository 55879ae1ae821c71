/**
 * Degradation levels as feature flags: a provider for OpenFeature (`@openfeature/server-sdk`), without importing it.
 *
 * - F1. A flag is evaluated by the level of the request at hand, and outside of one by the level last heard of.
 * - F2. What a level does not name is as in the level below; a level beyond the highest is as the highest.
 * - F3. Levels are heard in the order of routing tables: what an edge with an older table says changes nothing.
 * - F4. A feature that the topology names is on or off as the edge says; what the service itself lists for its levels is for
 *   all other flags, and for values that are not on or off.
 */
import { onRequestContext, type RequestContext, requestContext } from "./context.ts";

type FlagValue = boolean | string | number | FlagObject | readonly FlagObject[] | null;
interface FlagObject {
  readonly [name: string]: FlagValue | readonly FlagValue[];
}

/** Name of a flag -> its value. */
export type Flags = Readonly<Record<string, FlagValue>>;

type Resolution<T> = Promise<{ value: T; variant: string; reason: string }>;
// biome-ignore lint/suspicious/noExplicitAny: what OpenFeature hands to its handlers is its own affair.
type Handler = (details?: any) => unknown;

/** What OpenFeature asks of a provider's events. */
interface FlagEvents {
  emit(event: string, details?: object): void;
  addHandler(event: string, handler: Handler): void;
  removeHandler(event: string, handler: Handler): void;
  removeAllHandlers(event?: string): void;
  getHandlers(event: string): Handler[];
  setLogger(logger: unknown): FlagEvents;
}

export interface LevelFlags {
  readonly metadata: { readonly name: string };
  readonly runsOn: "server";
  readonly events: FlagEvents;
  /** The level outside of requests. */
  readonly level: number;
  /** Called by OpenFeature. From here on levels are heard. */
  initialize(): Promise<void>;
  onClose(): Promise<void>;
  /** For a service that hears of its level in another way than by requests. */
  setLevel(level: number): void;
  resolveBooleanEvaluation(flag: string, fallback: boolean): Resolution<boolean>;
  resolveStringEvaluation(flag: string, fallback: string): Resolution<string>;
  resolveNumberEvaluation(flag: string, fallback: number): Resolution<number>;
  resolveObjectEvaluation<T>(flag: string, fallback: T): Resolution<T>;
}

/** OpenFeature turns `code` into its error code, and answers the caller's default value. */
class FlagError extends Error {
  readonly code: "FLAG_NOT_FOUND" | "TYPE_MISMATCH";

  constructor(code: FlagError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

const noFlags: Flags = {};

/**
 * `levelFlags()`: the features of the topology. With flags of the service's own besides:
 * `levelFlags({ 0: { recommendations: true, search: "full" }, 1: { recommendations: false }, 2: { search: "basic" } })`
 */
export function levelFlags(levels: Readonly<Record<number, Flags>> = {}): LevelFlags {
  const table = inherited(levels);
  const events = flagEvents();
  let level = 0;
  let features: Flags = noFlags;
  let heardIn: readonly [epoch: number, generation: number] = [0, 0];
  let stop: () => void = () => undefined;

  const flagsAt = (at: number): Flags => table[Math.min(at, table.length - 1)] as Flags;

  function setLevel(next: number): void {
    if (!Number.isInteger(next) || next < 0) throw new RangeError(`level ${next}: 0, 1, 2, ... are levels`);
    change(next, features);
  }

  function change(next: number, nextFeatures: Flags): void {
    const before = { ...flagsAt(level), ...features };
    const after = { ...flagsAt(next), ...nextFeatures };
    level = next;
    features = nextFeatures;
    const flagsChanged = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
      (flag) => JSON.stringify(before[flag]) !== JSON.stringify(after[flag]),
    );
    if (0 < flagsChanged.length)
      events.emit("PROVIDER_CONFIGURATION_CHANGED", { flagsChanged, message: `level ${next}` });
  }

  function hear(context: RequestContext): void {
    if (context.level === null) return;
    const [epoch, generation] = [context.epoch ?? 0, context.generation ?? 0];
    if (epoch < heardIn[0] || (epoch === heardIn[0] && generation < heardIn[1])) return;
    heardIn = [epoch, generation];
    // The same text is the same object: nothing is compared for each request.
    const told = context.flags ?? noFlags;
    if (context.level !== level || told !== features) change(context.level, told);
  }

  function resolve(flag: string, isFit: (value: unknown) => boolean, wanted: string): FlagValue {
    const context = requestContext();
    // F4.
    const told = context?.level == null ? features : (context.flags ?? noFlags);
    if (Object.hasOwn(told, flag) && isFit(told[flag])) return told[flag] as FlagValue;
    const value = flagsAt(levelNow())[flag];
    if (value === undefined && Object.hasOwn(told, flag))
      throw new FlagError("TYPE_MISMATCH", `the flag ${flag} is no ${wanted}`);
    if (value === undefined) throw new FlagError("FLAG_NOT_FOUND", `no level names the flag ${flag}`);
    if (!isFit(value)) throw new FlagError("TYPE_MISMATCH", `the flag ${flag} is no ${wanted}`);
    return value;
  }

  const levelNow = (): number => requestContext()?.level ?? level;
  const answer = async <T>(flag: string, isFit: (value: unknown) => boolean, wanted: string) => ({
    value: resolve(flag, isFit, wanted) as T,
    variant: `level-${levelNow()}`,
    reason: "TARGETING_MATCH",
  });

  return {
    metadata: { name: "holdfast-levels" },
    runsOn: "server",
    events,
    get level() {
      return level;
    },
    async initialize() {
      stop();
      stop = onRequestContext(hear);
    },
    async onClose() {
      stop();
    },
    setLevel,
    resolveBooleanEvaluation: (flag) => answer(flag, (value) => typeof value === "boolean", "boolean"),
    resolveStringEvaluation: (flag) => answer(flag, (value) => typeof value === "string", "text"),
    resolveNumberEvaluation: (flag) => answer(flag, (value) => typeof value === "number", "number"),
    resolveObjectEvaluation: (flag) => answer(flag, (value) => typeof value === "object", "object"),
  };
}

const levelsMax = 100;

/** F2: every level from 0 on, with all of its flags. */
function inherited(levels: Readonly<Record<number, Flags>>): readonly Flags[] {
  const named = Object.keys(levels).map(Number);
  const bad = named.find((level) => !Number.isInteger(level) || level < 0 || levelsMax < level);
  if (bad !== undefined) throw new RangeError(`level ${bad}: 0 to ${levelsMax} are levels`);
  const all: Flags[] = [];
  for (let level = 0; level <= Math.max(0, ...named); level++) all.push({ ...all.at(-1), ...levels[level] });
  return all;
}

function flagEvents(): FlagEvents {
  const handlers = new Map<string, Handler[]>();
  const events: FlagEvents = {
    emit(event, details = {}) {
      for (const handler of [...(handlers.get(event) ?? [])]) {
        try {
          // OpenFeature's own handlers may be asynchronous; what they throw is not the service's request's concern.
          Promise.resolve(handler(details)).catch(() => undefined);
        } catch {
          // As above.
        }
      }
    },
    addHandler: (event, handler) => void handlers.set(event, [...(handlers.get(event) ?? []), handler]),
    removeHandler: (event, handler) =>
      void handlers.set(
        event,
        (handlers.get(event) ?? []).filter((one) => one !== handler),
      ),
    removeAllHandlers: (event) => (event === undefined ? handlers.clear() : void handlers.delete(event)),
    getHandlers: (event) => handlers.get(event) ?? [],
    setLogger: () => events,
  };
  return events;
}
