#!/bin/sh
# Installs, upgrades or removes the agent of a site. What it may be given:
#
#   install.sh                           installs this version and starts it
#   install.sh enrol --controller …      the same, and enrols the site: the line that `murmur site add` prints
#   install.sh uninstall [--purge]       removes the program; with --purge also the site's state and its identity
#
#   --install DIR  where the program goes (/opt/murmur-agent)      --state DIR  the site's state (/var/lib/murmur-agent)
#   --no-service   leave systemd alone and start nothing           --units DIR  its units (/etc/systemd/system)
#   --environment FILE  proxy and certificates (/etc/murmur-agent.env)
#
# It may be repeated at any time. A site's state is never overwritten; the version that ran before stays beside the new one.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
install=/opt/murmur-agent state=/var/lib/murmur-agent units=/etc/systemd/system environment=/etc/murmur-agent.env
action=install service=yes purge=no

fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
say() { printf '%s\n' "$*"; }

# The first word may be `murmur-agent`: the enrolment line begins with it.
[ "${1-}" = murmur-agent ] && shift
case ${1-} in enrol | uninstall) action=$1; shift ;; esac
words=''
quote() { printf "'%s' " "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }
while [ $# -gt 0 ]; do
  case $1 in
    --install | --state | --units | --environment)
      [ $# -gt 1 ] || fail "$1 needs a path"
      case $2 in /*) ;; *) fail "$1 needs an absolute path, not $2" ;; esac
      # Paths stand in a systemd unit, which gives other characters a meaning of their own.
      case $2 in *[!A-Za-z0-9/._+-]*) fail "$1 takes letters, digits and . _ + - in a path, not $2" ;; esac
      case $1 in --install) install=$2 ;; --state) state=$2 ;; --units) units=$2 ;; --environment) environment=$2 ;; esac
      shift 2 ;;
    --install=* | --state=* | --units=* | --environment=*) fail "write ${1%%=*} and its path as two words" ;;
    --no-service) service=no; shift ;;
    --purge) purge=yes; shift ;;
    --help | -h) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *)
      [ "$action" = enrol ] || fail "what is $1? (--help says what there is)"
      words="$words$(quote "$1")"; shift ;;
  esac
done

has_systemd() { [ "$service" = yes ] && [ -d /run/systemd/system ] && command -v systemctl > /dev/null 2>&1; }

# NAME=value lines as systemd takes them: nothing in a value means anything to a shell.
read_environment() {
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in [A-Za-z_]*=*) ;; *) continue ;; esac
    name=${line%%=*} value=${line#*=}
    case $name in *[!A-Za-z0-9_]*) continue ;; esac
    case $value in \"*\") value=${value#\"} value=${value%\"} ;; \'*\') value=${value#\'} value=${value%\'} ;; esac
    export "$name=$value"
  done < "$1"
}

if [ "$action" = uninstall ]; then
  # Only what an installation is made of: a wrong path must not cost anything.
  [ -f "$install/launcher" ] || [ "$purge" = yes ] || fail "there is no agent at $install"
  if [ "$purge" = yes ] && [ -d "$state" ] && [ ! -f "$state/agent.json" ] && [ ! -f "$state/pending-key.json" ]; then fail "$state is not an agent's state; nothing was removed"; fi
  if has_systemd; then systemctl disable --now murmur-agent.service 2> /dev/null || :; fi
  [ -f "$units/murmur-agent.service" ] && rm -f "$units/murmur-agent.service"
  if has_systemd; then systemctl daemon-reload; fi
  [ -L /usr/local/bin/murmur-agent ] && [ "$(readlink /usr/local/bin/murmur-agent)" = "$install/launcher" ] && rm -f /usr/local/bin/murmur-agent
  if [ -f "$install/launcher" ]; then
    for name in current previous trial verdict managed pids; do rm -f "$install/$name" "$install/$name.new" "$install/$name.tmp"; done
    rm -rf "$install/versions"
    rm -f "$install/launcher.new" "$install/launcher"
    rmdir "$install" 2> /dev/null || say "$install is left: it holds other things"
  fi
  if [ "$purge" = yes ]; then
    rm -rf "$state" "$environment"
    say "The agent, its state and its identity are gone. Remove the site at the controller too: murmur site remove"
  else
    say "The agent is gone. The site's state is left at $state; --purge removes it."
  fi
  exit 0
fi

set -- "$here"/versions/*
[ $# -eq 1 ] && [ -d "$1" ] || fail "there must be exactly one version at $here/versions"
source=$1 version=$(basename "$1")
"$source/bin/node" "$source/agent.mjs" version > /dev/null || fail "this version does not run on this machine ($(uname -m))"

# The version first, complete under its name only once it is on the disk; then the link to it, by one rename.
mkdir -p "$install/versions"
if [ ! -d "$install/versions/$version" ]; then
  partial="$install/versions/$version.partial"
  rm -rf "$partial"
  cp -R "$source" "$partial"
  chmod 755 "$partial" "$partial/bin" "$partial/bin/node"
  chmod 644 "$partial"/*.mjs "$partial"/LICENSE*
  sync
  mv "$partial" "$install/versions/$version"
fi
cp "$here/launcher" "$install/launcher.new"
chmod 755 "$install/launcher.new"
sync
mv -f "$install/launcher.new" "$install/launcher"
[ -e "$environment" ] || { cp "$here/murmur-agent.env" "$environment"; chmod 600 "$environment"; }

before=$(readlink "$install/current" 2> /dev/null || :)
point_at() { ln -sfn "$2" "$install/$1.new" && mv -fT "$install/$1.new" "$install/$1"; }
if [ "$before" != "versions/$version" ]; then
  [ -z "$before" ] || point_at previous "$before"
  point_at current "versions/$version"
  # What a release brought is not what runs any more.
  rm -f "$install/managed"
fi
rm -f "$install/trial"
sync
for old in "$install"/versions/*; do
  case "versions/$(basename "$old")" in "$(readlink "$install/current")" | "$(readlink "$install/previous" 2> /dev/null || :)") ;; *) rm -rf "$old" ;; esac
done
[ "$service" = no ] || [ ! -d /usr/local/bin ] || [ -e /usr/local/bin/murmur-agent ] || ln -s "$install/launcher" /usr/local/bin/murmur-agent
say "murmur-agent $("$install/launcher" version) is at $install"

if [ "$action" = enrol ]; then
  if [ -f "$state/identity.json" ] && ! printf '%s' "$words" | grep -q "'--replace'"; then
    say "The site at $state is enrolled already; it stays who it is."
  else
    read_environment "$environment"
    eval "\"$install/launcher\" enrol $words --state \"$state\""
  fi
fi

if has_systemd; then
  sed "s|@INSTALL@|$install|; s|@STATE@|$state|; s|@ENVIRONMENT@|$environment|" "$here/murmur-agent.service" > "$units/murmur-agent.service"
  systemctl daemon-reload
  systemctl enable murmur-agent.service
  if [ -f "$state/agent.json" ]; then systemctl restart murmur-agent.service; say 'The service runs: systemctl status murmur-agent'
  else say "Not enrolled yet. Repeat this with the enrolment line: $0 enrol --controller … "; fi
else
  say "No service was set up (systemd does not run here, or --no-service). Start it yourself, and again whenever it ends:"
  say "  $install/launcher run --state $state"
fi
