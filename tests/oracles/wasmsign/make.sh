#!/bin/sh
# Makes the fixtures anew: plain.wasm from plain.wat (PyPI wasmtime), signed by wasmsign2 (crates.io).
# The private keys are thrown away, so every file changes.
set -eu
cd "$(dirname "$0")"
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools/python"
"$tools/python/bin/pip" install -q wasmtime==50.0.1
WASMSIGN=${WASMSIGN:-}
if [ -z "$WASMSIGN" ]; then
  cargo install -q wasmsign2-cli --version 0.2.8 --root "$tools"
  WASMSIGN=$tools/bin/wasmsign2
fi
"$tools/python/bin/python" -c 'import sys, wasmtime
sys.stdout.buffer.write(wasmtime.wat2wasm(open("plain.wat").read()))' > plain.wasm
for name in first second; do
  "$WASMSIGN" keygen --secret-key "$tools/$name" --public-key "$name.public"
done
# By one key; by two; with parts that can be verified alone.
"$WASMSIGN" sign --secret-key "$tools/first" --input-file plain.wasm --output-file one.wasm
"$WASMSIGN" sign --secret-key "$tools/second" --input-file one.wasm --output-file two.wasm
"$WASMSIGN" split --input-file plain.wasm --output-file "$tools/split.wasm"
"$WASMSIGN" sign --secret-key "$tools/first" --input-file "$tools/split.wasm" --output-file split.wasm
"$WASMSIGN" verify --public-key first.public --input-file two.wasm
