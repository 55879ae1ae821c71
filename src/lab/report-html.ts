/** HTML in which nothing that was put in can become markup: a tagged template that escapes. */

/** Markup that is finished, and is put in as it is. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Part = Markup | string | number | false | null | readonly Part[];

export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return new Markup(strings.reduce((text, next, i) => text + render(parts[i - 1] ?? null) + next));
}

function render(part: Part): string {
  if (part === null || part === false) return "";
  if (part instanceof Markup) return part.text;
  if (Array.isArray(part)) return part.map(render).join("");
  return escaped(typeof part === "number" ? String(part) : (part as string));
}

/**
 * For text and for attributes in quotes. Control characters, which HTML forbids, and those that turn the direction of
 * what follows (so that a name could rewrite its sentence) are shown as a replacement character.
 */
function escaped(text: string): string {
  return text
    .replace(/[^\P{Cc}\t\n]|[\u202a-\u202e\u2066-\u2069]/gu, "\ufffd")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}
