#!/usr/bin/env bash
# Installs what the tests need beside npm's packages: a real Redis server. Does nothing where it is there already.
set -eu
if [ -n "${REDIS_SERVER:-}" ] || command -v redis-server >/dev/null 2>&1 || command -v valkey-server >/dev/null 2>&1; then
  exit 0
fi
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  echo 'test-needs: installing redis-server (Debian)'
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # A policy of 101 keeps the package from starting a server of its own on port 6379.
  policy=/usr/sbin/policy-rc.d
  made=
  if [ ! -e "$policy" ]; then printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; made=1; fi
  apt-get install -y -qq --no-install-recommends redis-server redis-tools >/dev/null
  [ -z "$made" ] || rm -f "$policy"
  exit 0
fi
echo 'test-needs: no redis-server found. Install Redis 7 (or Valkey 8), or set REDIS_SERVER to its path.' >&2
exit 1
