/** States and transitions of the machine that a set of runs must reach: declared here, so that a gap is seen. */

const modes =
  "no lease|bootstrapping|promoting|committing|leading|extended|frozen (lease)|frozen (rpo)|changing|giving up|vacating|following|rejoining|awaiting|voting|sealing|sealed|claiming";

/** From -> what follows it. */
const transitions: Readonly<Record<string, string>> = {
  "no lease": "bootstrapping|awaiting|following",
  bootstrapping: "promoting",
  promoting: "committing|giving up",
  committing: "leading|giving up",
  leading: "extended|frozen (lease)|frozen (rpo)|changing|giving up|no lease",
  extended: "leading|frozen (lease)|giving up",
  "frozen (lease)": "leading|extended|giving up",
  "frozen (rpo)": "leading|giving up",
  changing: "vacating|giving up",
  "giving up": "vacating|awaiting",
  vacating: "awaiting|sealed|sealing",
  following: "rejoining|claiming|sealing|sealed|voting|awaiting|leading|giving up|no lease",
  rejoining: "following|sealing",
  awaiting: "claiming|following|rejoining|promoting|sealed|sealing|voting|giving up",
  voting: "awaiting|following",
  sealing: "sealed|claiming|awaiting|following|rejoining",
  sealed: "claiming|awaiting|following",
  claiming: "promoting|awaiting|sealed|following",
};

const commands =
  "write|publish|apply-table|pet|disarm|look|gate open|gate hold|gate closed|initialize|rejoin|start-sealed|seal|follow|promote|set-quorum|freeze|thaw|drain|prepare-stop|stop-in-order|end|ask-peers|tell-seal|expect|answer-peer promise|answer-peer refusal|validate|note";

const events =
  "woken|record-changed|store-loaded|store-heard|member-inspected|fencer-fired|peer-asked|seal-told|probed|table-applied|write-replied succeeded|write-replied conflict|write-replied unknown|peer-answered promised|peer-answered refused|validated well|validated badly|initialize succeeded|rejoin succeeded|rejoin failed|start-sealed succeeded|start-sealed failed|seal succeeded|seal failed|seal unknown|follow succeeded|follow failed|promote succeeded|promote failed|promote unknown|set-quorum succeeded|set-quorum failed|freeze succeeded|freeze failed|freeze unknown|thaw succeeded|drain succeeded|drain failed|prepare-stop succeeded|stop-in-order succeeded|stop-in-order unknown|end succeeded|end unknown";

export const declared: readonly string[] = [
  ...modes.split("|"),
  ...Object.entries(transitions).flatMap(([from, to]) => to.split("|").map((next) => `${from} -> ${next}`)),
  ...commands.split("|").map((name) => `command ${name}`),
  ...events.split("|").map((name) => `event ${name}`),
];
