#!/usr/bin/env pwsh
# The one entry to everything: ./build.ps1 [--target=Build|Test|Demo|Format|Bench|Pack|Clean|...]
$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot

if (-not (Get-Command dotnet -ErrorAction SilentlyContinue) -or -not (dotnet --list-sdks | Select-String '^10\.')) {
    Write-Error 'Twintail is built with the .NET SDK 10, which is not on the PATH: https://learn.microsoft.com/dotnet/core/install'
}

$env:DOTNET_NOLOGO = '1'
$env:DOTNET_CLI_TELEMETRY_OPTOUT = '1'
dotnet tool restore --verbosity quiet
if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
dotnet cake --settings_enablescriptcache=true @args
exit $LASTEXITCODE
