/** What is wrong with a text, and exactly where: values for people and for programs, never exceptions. */

/** A stretch of a text; lines and columns count from 1, columns in UTF-16 units as editors do. */
export interface Place {
  readonly line: number;
  readonly column: number;
  /** Characters that it spans, 1 or more; may run past the end of the line. */
  readonly length: number;
}

export interface Problem extends Place {
  readonly severity: "error" | "warning";
  readonly file: string;
  /** Such as `DataStore/orders-db spec.members[1].region`; empty where the text is not even YAML. */
  readonly path: string;
  /** What was found. */
  readonly message: string;
  /** What fits; empty when the message says it. */
  readonly hint: string;
  /** Other places that it takes two of, such as the first of two equal names. */
  readonly related: readonly Related[];
}

export interface Related extends Place {
  readonly label: string;
}

/** In the order in which one reads the file. */
export function sortProblems(problems: readonly Problem[]): readonly Problem[] {
  return [...problems].sort((a, b) => a.line - b.line || a.column - b.column);
}
