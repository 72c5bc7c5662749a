#!/usr/bin/env bash
# The one entry to everything: ./build.sh [--target=Build|Test|Demo|Format|Bench|Pack|Clean|...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if ! command -v dotnet >/dev/null || ! dotnet --list-sdks | grep -q '^10\.'; then
  {
    echo "Twintail is built with the .NET SDK 10, which is not on the PATH."
    if command -v apt-get >/dev/null && apt-cache show dotnet-sdk-10.0 >/dev/null 2>&1; then
      echo "Install it as root: apt-get install dotnet-sdk-10.0"
    else
      echo "Install the package dotnet-sdk-10.0 (Microsoft's package feed for your distribution has it),"
      echo "or follow https://learn.microsoft.com/dotnet/core/install/linux"
    fi
  } >&2
  exit 1
fi

export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
dotnet tool restore --verbosity quiet
exec dotnet cake --settings_enablescriptcache=true "$@"
