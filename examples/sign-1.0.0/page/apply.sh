#!/bin/sh
# Brings the node's page to this release. Run again after a sudden end, it ends in the same state.
set -eu
exec "$MURMUR_TO_TREE/render.sh" "$MURMUR_TO_VERSION"
