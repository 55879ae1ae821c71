/** What HAProxy, configured as `layout.ts` writes it, can do of what a table asks for, and what happens instead. */
import type { Abilities } from "../../core/model/plane.ts";

const yes = (how: string) => ({ can: "yes", how }) as const;
const partly = (how: string) => ({ can: "partly", how }) as const;
const no = (how: string) => ({ can: "no", how }) as const;

export const haproxyAbilities: Abilities = {
  shift: yes("through the runtime socket, without a reload"),
  restart: yes("starts into its last map and states of servers"),
  fence: yes("sessions to a fenced or forbidden region are ended"),
  modes: partly("rw, ro and off; static is answered as off, with 503"),
  repeat: partly("what is safe to repeat, three times, without a budget"),
  breaker: partly("health checks every 500 ms (fewer beyond 200 targets): down after three, up after two"),
  hold: no("while a writer changes, requests get the service's own 503"),
  weights: no("the first target that is up gets everything"),
  choice: no("the order of the table, whatever the service asks for"),
  limits: no("holdfast validate refuses a Router beside limits of requests: it would serve them anywhere"),
  classes: no("nothing is shed: its queue and limits are its own"),
  stale: no("503 when every target is bad"),
  tcp: no("clients of a data store enter through our edge or gate"),
  gates: no("an Edge in the region holds them"),
};
