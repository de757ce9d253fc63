#!/bin/sh
# Passes when the page on this node is the one of release 1.0.0.
set -eu
grep -q 'release 1.0.0' "$MURMUR_NODE_ROOT/srv/sign/index.html"
