#!/bin/sh
# Passes when the page on this node is the one of release 1.1.0, unless the node says that it cannot show it: the marker
# stands in for whatever a release may meet at one site and nowhere else.
set -eu
marker=/etc/murmur-practice/refuse-1.1.0
if [ -e "$MURMUR_NODE_ROOT$marker" ]; then
  echo "this display cannot show release 1.1.0 (there is a file $marker)"
  exit 1
fi
grep -q 'release 1.1.0' "$MURMUR_NODE_ROOT/srv/sign/index.html"
