#!/usr/bin/env bash
# Installs what the Mono test needs on Debian and Ubuntu: the runtime, and netstandard.dll, which tells it where the types of
# netstandard2.1 are. That file is packed in mono-devel with 185 MB of other things, so it is taken out of the package alone.
# Usage: install-mono.sh [FOLDER]   where netstandard.dll goes, artifacts/toolkit/mono of the repository by default
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=${1:-$root/artifacts/toolkit/mono}
export DEBIAN_FRONTEND=noninteractive

if ! command -v mono > /dev/null || [[ ! -d /usr/lib/mono/gac/System.Core ]]; then
  if [[ $(id -u) != 0 ]]; then
    echo "Missing: mono. Install as root: apt-get install mono-runtime libmono-system-core4.0-cil" >&2
    exit 1
  fi
  apt-get install -y -qq --no-install-recommends mono-runtime libmono-system-core4.0-cil
fi

if [[ -f /usr/lib/mono/4.5/Facades/netstandard.dll || -f $folder/netstandard.dll ]]; then
  exit 0
fi
mkdir -p "$folder"
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

(cd "$temporary" && apt-get download -qq -o APT::Sandbox::User=root mono-devel && dpkg-deb -x mono-devel_*.deb .)
cp "$temporary/usr/lib/mono/4.5/Facades/netstandard.dll" "$folder/netstandard.dll.new"
mv "$folder/netstandard.dll.new" "$folder/netstandard.dll"
