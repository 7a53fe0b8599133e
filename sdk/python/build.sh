#!/bin/bash
# Tests a tool written in Python natively and builds its component, when that can be had here; says so when it cannot.
#
# usage: build.sh FOLDER OUT.wasm
#
# FOLDER holds app.py, its tests and wit/world.wit with the world `plugin`. What is built is kept beside OUT.wasm and used
# again while nothing it is made from has changed: then this takes seconds. componentize-py comes from the registry into a
# virtual environment of its own, beside OUT.wasm too.
#
# Exit status: 0 built, 1 the tool is wrong, 3 it cannot be built here.
set -euo pipefail

VERSION=0.25.1
here=$(cd "$(dirname "$0")" && pwd)
folder=$(cd "$1" && pwd)
mkdir -p "$(dirname "$2")"
out=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
work=$(dirname "$out")/.python
contract=${MEDIC_WIT:-$here/../../wit/0.1.0}

made_from=$(find "$folder" "$contract" -type f ! -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
stamp="$VERSION $made_from"
if [ -f "$out" ] && [ "$(cat "$out.made-from" 2>/dev/null)" = "$stamp" ]; then
    echo "python: $(basename "$out") is as it was"
    exit 0
fi

cannot() {
    echo "python: $1; $(basename "$folder") is neither built nor tested" >&2
    exit 3
}

command -v python3 >/dev/null || cannot "there is no python3"
tool=$work/venv/bin/componentize-py
if ! [ -x "$tool" ] || [ "$("$tool" --version 2>/dev/null | awk '{print $2}')" != "$VERSION" ]; then
    rm -rf "$work/venv"
    python3 -m venv "$work/venv" 2>"$work.log" || cannot "a virtual environment cannot be made ($(tail -1 "$work.log"))"
    "$work/venv/bin/pip" install -q --disable-pip-version-check --no-deps "componentize-py==$VERSION" 2>"$work.log" ||
        cannot "componentize-py $VERSION cannot be had from the registry ($(tail -1 "$work.log"))"
fi

# The contract and the tool's own world, as componentize-py wants them: one folder.
wit=$work/wit
rm -rf "$wit" "$work/bindings"
mkdir -p "$wit/deps/medic-host" "$wit/deps/medic-tool"
cp "$folder"/wit/*.wit "$wit/"
cp "$contract"/*.wit "$wit/deps/medic-tool/"
cp "$contract"/deps/medic-host/*.wit "$wit/deps/medic-host/"

"$tool" -d "$wit" -w plugin bindings "$work/bindings"
(cd "$folder" && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$work/bindings" python3 -m unittest -q)
echo "python: building $(basename "$out"); that takes a minute"
# --stub-wasi: without it a guest asks for files and sockets, and would not be loaded.
(cd "$folder" && "$tool" -d "$wit" -w plugin componentize app --stub-wasi -o "$out.part")
mv "$out.part" "$out"
echo "$stamp" >"$out.made-from"
echo "python: $out $(stat -c %s "$out")"
