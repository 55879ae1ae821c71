#!/bin/sh
# Installs the Debian parts that tests of real parts need. As root, on Debian 12 or later; changes nothing else, and
# nothing at all when they are there. PostgreSQL comes with `npm ci`.
set -eu

# etcd-server, etcd-client: test/adapters/etcd (a cluster of three on loopback, started by the tests themselves)
# openssl: test/adapters/etcd (certificates); git: test/tidy.test.ts
# iproute2, nftables, util-linux (nsenter, unshare, setpriv), perl-base: test/lab/net, `holdfast lab`
# libfaketime: wall clocks that are wrong in test/lab/net and in scenarios
# haproxy: test/adapters/haproxy; haproxy, nginx and wrk: bench/edge.ts; nginx: bench/cache.ts, bench/smuggling.ts
# --peers: what bench/peers.ts compares with as well
parts="etcd-server etcd-client haproxy nginx wrk openssl git iproute2 nftables util-linux perl-base libfaketime"

if [ "${1:-}" = --peers ]; then
  parts="$parts postgresql-15 patroni python3-etcd pg-auto-failover-cli postgresql-15-auto-failover"
fi

is_there() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

if ! command -v dpkg-query >/dev/null; then
  echo "this is no Debian: install these in its own way: $parts" >&2
  exit 1
fi
missing=""
for part in $parts; do
  is_there "$part" || missing="$missing $part"
done

if [ -n "$missing" ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "only root can install these:$missing" >&2
    exit 1
  fi
  echo "installing:$missing"
  # A package may start its service at once; tests start their own.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # a list of names
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } < /dev/null
fi
for part in $parts; do
  dpkg-query -W -f '${Package} ${Version}\n' "$part"
done
