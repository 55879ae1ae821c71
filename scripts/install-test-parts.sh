#!/bin/sh
# Installs the Debian parts that tests of real parts need. As root, on Debian 12 or later; changes nothing else.
set -eu

# etcd-server, etcd-client: test/adapters/etcd (a cluster of three on loopback, started by the tests themselves)
# haproxy: test/adapters/haproxy; haproxy and wrk: bench/edge.ts
parts="etcd-server etcd-client haproxy wrk"

echo "installing: $parts"
apt-get update -qq
# A package may start its service at once; tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
# shellcheck disable=SC2086 # a list of names
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $parts
for part in $parts; do
  dpkg-query -W -f '${Package} ${Version}\n' "$part"
done
