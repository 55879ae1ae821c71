/** Who is at the other end of a client's connection, and whether what it says of others is believed. */
import { BlockList, isIP, isIPv6 } from "node:net";

export type Scheme = "http" | "https";

/** Made once a connection: a request takes what stands here. */
export interface ClientPeer {
  readonly address: string;
  readonly scheme: Scheme;
  /** A balancer of ours: what it says in `Forwarded` and `X-Forwarded-*` is passed on, and ours is appended. */
  readonly isTrusted: boolean;
  /** As a node in the `Forwarded` field (RFC 7239 section 6): an IPv6 address is quoted and in brackets. */
  readonly node: string;
}

export class TrustedNetworks {
  readonly #list = new BlockList();
  readonly #isEmpty: boolean;

  /** Addresses and networks, such as `10.0.0.0/8` or `fd00::/8`. */
  constructor(networks: readonly string[]) {
    this.#isEmpty = networks.length === 0;
    for (const network of networks) {
      const [address = "", prefix] = network.split("/");
      const family = isIPv6(address) ? "ipv6" : "ipv4";
      if (prefix === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, Number(prefix), family);
    }
  }

  has(address: string): boolean {
    return (
      !this.#isEmpty && isIP(address) !== 0 && this.#list.check(address, isIPv6(address) ? "ipv6" : "ipv4")
    );
  }

  peer(remoteAddress: string | undefined, scheme: Scheme): ClientPeer {
    const address = plain(remoteAddress ?? "unknown");
    const node = address.includes(":") ? `"[${address}]"` : address;
    return { address, scheme, isTrusted: this.has(address), node };
  }

  /** Behind balancers of ours: the last address that none of them has. */
  clientOf(peer: ClientPeer, forwardedFor: string): string {
    if (forwardedFor === "") return peer.address;
    const chain = forwardedFor.split(",").map((each) => each.trim());
    return chain.findLast((each) => isIP(each) !== 0 && !this.has(each)) ?? peer.address;
  }
}

/** `10.0.0.0/8`, `fd00::/8`, or one address. */
export function isNetwork(text: string): boolean {
  const [address = "", prefix, ...more] = text.split("/");
  const bits = isIP(address) === 4 ? 32 : isIP(address) === 6 ? 128 : -1;
  if (bits < 0 || more.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits);
}

/** A listener on `::` sees IPv4 clients as `::ffff:192.0.2.1`. */
function plain(address: string): string {
  return address.startsWith("::ffff:") && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
}
