#!/bin/sh
# render.sh VERSION: writes /srv/sign/index.html of the node, in one step, from the template beside this script.
set -eu
page="$MURMUR_NODE_ROOT/srv/sign/index.html"
mkdir -p "$(dirname "$page")"
sed -e "s/@VERSION@/$1/g" -e "s/@NODE@/$MURMUR_NODE/g" "$(dirname "$0")/template.html" > "$page.new"
mv "$page.new" "$page"
