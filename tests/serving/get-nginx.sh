#!/usr/bin/env bash
# Unpacks Debian's nginx into .cache, which needs no root and starts nothing, unless there is one already.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v nginx >/dev/null && exit
test -x .cache/nginx/usr/sbin/nginx && exit
mkdir -p .cache/nginx
cd .cache/nginx
[ "$(id -u)" != 0 ] || apt-get update -qq
apt-get download -qq nginx
dpkg-deb -x nginx_*.deb .
./usr/sbin/nginx -v
