/** Host and path in, the service that a request is for out. */
import type { ServiceName } from "../model/id.ts";
import type { RoutingTable } from "../model/routing.ts";

/**
 * With one service it gets everything. Otherwise the first label of the host (`orders.example.com` -> `orders`), then the
 * first segment of the path (`/orders/17` -> `orders`; the path is passed on as it came). null: none of them.
 */
export function serviceFor(table: RoutingTable, host: string, path: string): ServiceName | null {
  const label = /^[^.:]*/.exec(host)?.[0].toLowerCase() ?? "";
  if (Object.hasOwn(table.services, label)) return label;
  const segment = /^\/([^/?#]*)/.exec(path)?.[1] ?? "";
  if (Object.hasOwn(table.services, segment)) return segment;
  // Last: the names of a thousand services are not listed for each request.
  const names = Object.keys(table.services);
  return names.length === 1 ? (names[0] as ServiceName) : null;
}
