/** How far a copy of many bytes has come, in words and not too often. */

/** Whole MiB, rounded up. */
export function describeMebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}

/** Tells such as `40 % of 30 MiB`, no more than every `stepPercent`. */
export function tellProgress(
  stepPercent: number,
  tell: (text: string) => void,
): (doneBytes: number, totalBytes: number) => void {
  let next = 0;
  return (doneBytes, totalBytes) => {
    const percent = totalBytes === 0 ? 0 : Math.min(100, Math.floor((100 * doneBytes) / totalBytes));
    if (percent < next) return;
    next = percent + stepPercent;
    tell(`${percent} % of ${describeMebibytes(totalBytes)}`);
  };
}
