#!/usr/bin/env bash
# Installs what the tests need beside npm's packages: a real Redis server, and etcd. Does nothing where they are there.
set -eu
packages=
if [ -z "${REDIS_SERVER:-}" ] && ! command -v redis-server >/dev/null 2>&1 && ! command -v valkey-server >/dev/null 2>&1; then
  packages='redis-server redis-tools'
fi
command -v etcd >/dev/null 2>&1 || packages="$packages etcd-server"
[ -n "$packages" ] || exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  echo "test-needs: installing$([ "${packages# }" = "$packages" ] && echo ' ')$packages (Debian)"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # A policy of 101 keeps the packages from starting servers of their own.
  policy=/usr/sbin/policy-rc.d
  made=
  if [ ! -e "$policy" ]; then printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; made=1; fi
  # shellcheck disable=SC2086 -- a list
  apt-get install -y -qq --no-install-recommends $packages >/dev/null
  [ -z "$made" ] || rm -f "$policy"
  exit 0
fi
case "$packages" in
  *redis-server*)
    echo 'test-needs: no redis-server found. Install Redis 7 (or Valkey 8), or set REDIS_SERVER to its path.' >&2
    exit 1 ;;
esac
echo 'test-needs: no etcd found; the tests that need it fail. Install etcd 3.4 or later.' >&2
