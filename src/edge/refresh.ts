/**
 * Asks for a kept answer anew while the old one is given (RFC 5861 section 3): once at a time, and only where there is
 * room for what matters least. What comes of it nobody waits for.
 */
import { Attempt, type AttemptListener } from "./attempt.ts";
import type { Lane } from "./lane.ts";
import { monotonicNow } from "./monotonic.ts";
import type { ServicePlan } from "./service-plan.ts";
import type { AskedFor, Conditions, StaleStore } from "./stale-store.ts";

export function refresh(
  plan: ServicePlan,
  lane: Lane,
  asked: AskedFor,
  { kept, conditions }: Conditions,
  store: StaleStore,
): void {
  const upstream = lane.choose([], null);
  if (!upstream?.hasRoom("sheddable") || !store.beginRefresh(kept)) return;
  const { staleMaxMs, tryTimeoutMs } = plan.route.rules;
  const since = monotonicNow();
  const among = ++upstream.inFlight;
  const over = (dropped: boolean): void => {
    upstream.inFlight--;
    upstream.learn(monotonicNow() - since, among, dropped);
    store.endRefresh(kept);
  };
  const listener: AttemptListener = {
    refuses: () => false,
    ended: () => over(true),
    whole(_attempt, head, body) {
      over(head.status === 503);
      if (head.status === 304) store.validated(kept, asked, head.headers, staleMaxMs);
      else store.keep(asked, { ...head, body }, upstream.region, staleMaxMs);
    },
    // Too long to be kept.
    head(attempt) {
      over(false);
      attempt.abandon();
    },
    chunk: () => true,
    finished: () => undefined,
    broken: () => undefined,
  };
  const { path, headers } = asked;
  const request = { method: "GET", path, headers: [...headers, ...conditions], body: null, bodyLength: null };
  new Attempt(upstream, request, tryTimeoutMs, listener).start();
}
