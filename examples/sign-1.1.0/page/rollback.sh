#!/bin/sh
# Brings the page back to what it was before: rendered by the earlier release's own script, or gone where there was none.
set -eu
if [ -n "$MURMUR_FROM_TREE" ]; then
  exec "$MURMUR_FROM_TREE/render.sh" "$MURMUR_FROM_VERSION"
fi
rm -f "$MURMUR_NODE_ROOT/srv/sign/index.html"
