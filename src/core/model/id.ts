/** The names that things bear: plain strings, one alias a meaning, so that signatures read themselves. */

/** A region of the topology, such as `eu-west`. One agent speaks for one region. */
export type RegionName = string;
/** A data store of the topology, such as `orders-db`. */
export type StoreName = string;
/** A member of a data store, such as `pg-west`; unique within the topology. */
export type MemberName = string;
/** A service of the topology, such as `orders`. */
export type ServiceName = string;
/** An edge of the topology, such as `edge-west`. */
export type EdgeName = string;

/**
 * One life of a member's data, made anew at each seed (`initdb`, base backup, rewind keeps it).
 * A member that was wiped and rebuilt bears the old name and a new incarnation, and is not trusted by its name.
 */
export type Incarnation = string;

/** Numbered leadership of a data store: 1, 2, 3, ... Only rises (S3). It is also the fencing token. */
export type Epoch = number;

/** Number of a routing table or a topology. Only rises at every sink (R1). */
export type Generation = number;

/** Revision of the control store at which a record was last written: 1 or more; 0 means "does not exist". */
export type Revision = number;
