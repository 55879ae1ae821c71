/** Header fields as the edge has them: names and values in turn. */

export function valuesOf(headers: readonly string[], lowerName: string): readonly string[] {
  const values: string[] = [];
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string;
    if (name.length === lowerName.length && name.toLowerCase() === lowerName)
      values.push(headers[at + 1] as string);
  }
  return values;
}

/** Of fields that hold lists, in lower case. */
export function listOf(values: readonly string[]): readonly string[] {
  return values.flatMap((value) => value.split(",").map((each) => each.trim().toLowerCase())).filter(Boolean);
}

export function without(headers: readonly string[], ...lowerNames: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at < headers.length; at += 2)
    if (!lowerNames.includes((headers[at] as string).toLowerCase()))
      kept.push(headers[at] as string, headers[at + 1] as string);
  return kept;
}

/** For keeping: a text that was cut out of another keeps the whole of that alive. None of these has a line feed in it. */
export function copied(texts: readonly string[]): readonly string[] {
  return texts.length === 0 ? [] : Buffer.from(texts.join("\n"), "latin1").toString("latin1").split("\n");
}
