/** W3C Trace Context, read strictly: what is passed on is sound, or nothing is (sections 3.2 and 3.3). */

export interface Trace {
  readonly traceparent: string;
  /** null: none, or one that cannot be passed on. */
  readonly tracestate: string | null;
}

const parent = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const nothing = /^0+$/;
/** Section 3.3.1.5: at least 512 characters are to be passed on; more we do not. */
const stateMax = 512;
const membersMax = 32;
const member =
  /^[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

export function readTrace(traceparent: string | null, tracestate: string | null): Trace | null {
  const [whole, version, traceId, parentId, flags, more] = parent.exec(traceparent ?? "") ?? [];
  if (whole === undefined || version === "ff" || nothing.test(traceId ?? "") || nothing.test(parentId ?? ""))
    return null;
  if (version === "00" && more !== undefined) return null;
  // Of a later version only what 00 knows is understood, and passed on as such (section 3.2.4).
  const known = version === "00" ? whole : `00-${traceId}-${parentId}-${flagsOf(flags ?? "00")}`;
  return { traceparent: known, tracestate: tracestate === null ? null : readState(tracestate) };
}

function flagsOf(flags: string): string {
  return (Number.parseInt(flags, 16) & 1) === 1 ? "01" : "00";
}

/** Empty members are allowed and dropped; one that cannot be read spoils all of it (section 3.3.1.1). */
function readState(text: string): string | null {
  const members = text
    .split(",")
    .map((one) => one.replace(/^[ \t]+|[ \t]+$/g, ""))
    .filter((one) => one !== "");
  const state = members.join(",");
  const isSound =
    members.length <= membersMax && state.length <= stateMax && members.every((one) => member.test(one));
  return isSound && state !== "" ? state : null;
}
