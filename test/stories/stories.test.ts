/** `UPDATE_STORIES=1 node --test test/stories/stories.test.ts` writes the transcripts anew: read the difference like prose. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { run } from "../../src/sim/run.ts";
import { storyText } from "../../src/sim/tell.ts";
import { stories } from "./stories.ts";

for (const { name, moral, plan, says, never, gapMaxMs } of stories) {
  test(`story ${name}`, () => {
    const { violation, story, longestGap } = run(plan);
    const text = `${wrapped(moral)}\n\n${storyText(story)}\n`;
    assert.equal(violation, null, text);
    const file = new URL(`${name}.txt`, import.meta.url);
    if (process.env.UPDATE_STORIES) writeFileSync(file, text);
    assert.equal(text, readFileSync(file, "utf8"));
    assert.ok(longestGap <= gapMaxMs * 1000, `no write for ${longestGap / 1000} ms`);
    const told = story.map((line) => line.text).join("\n");
    for (const pattern of says) assert.match(told, pattern);
    for (const pattern of never) assert.doesNotMatch(told, pattern);
  });
}

function wrapped(text: string): string {
  const lines: string[] = [""];
  for (const word of text.split(" ")) {
    const last = lines.at(-1) as string;
    if (last.length + word.length > 110) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines.join("\n");
}
