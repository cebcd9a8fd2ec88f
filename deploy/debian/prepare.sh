#!/usr/bin/env bash
# Makes what the package has beside the program, in target/package: prepare.sh PROGRAM
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
rm -rf target/package
mkdir -p target/package
"$program" man target/package/man
"$program" completions bash >target/package/autotune.bash
"$program" completions zsh >target/package/_autotune
"$program" completions fish >target/package/autotune.fish
