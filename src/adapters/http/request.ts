/** A request whose deadline counts from the first moment: undici hears a signal only once it is connected. */
import { type Dispatcher, request as requestByUndici } from "undici";
import type { SpanMs } from "../../core/model/time.ts";

/** How long a connection is tried that perhaps nobody waits for any more: a lost SYN is sent again after 1 s. */
export const connectWithinMs: SpanMs = 2000;

type Options = Parameters<typeof requestByUndici>[1] & { readonly signal: AbortSignal };

/** Rejects as soon as the signal aborts; what was not sent by then is never sent. */
export function request(url: string, options: Options): Promise<Dispatcher.ResponseData<unknown>> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    const over = () => signal.removeEventListener("abort", abort);
    requestByUndici(url, options).finally(over).then(resolve, reject);
  });
}
