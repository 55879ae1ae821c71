/** What is wrong with an edge's configuration, or with what it names, in words that name it. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code = "HOLDFAST_EDGE_CONFIG";
}
