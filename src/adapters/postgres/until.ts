/** Polls a condition until it holds or the signal aborts. */

/** Resolves with the first answer that is not undefined. Rejects with the signal's reason. */
export async function until<T>(
  check: () => Promise<T | undefined> | T | undefined,
  everyMs: number,
  signal: AbortSignal,
): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    const answer = await check();
    if (answer !== undefined) return answer;
    await new Promise((wake) => setTimeout(wake, everyMs));
  }
}
