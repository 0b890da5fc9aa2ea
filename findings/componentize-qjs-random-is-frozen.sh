#!/usr/bin/env bash
# componentize-qjs 0.4.5: Math.random() of a component starts from the state that it had when the component
# was built. Every instance in every process (wasmtime 50.0.1, with a host that answers wasi:random) draws
# the same numbers; a second build of the same source draws others. Clients of a federation that sample
# their data by Math.random() all sample the same rows, and nothing says so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet install wasmtime==50.0.1
npm init -y > /dev/null
npm install --silent --no-fund --no-audit componentize-qjs@0.4.5
cat > draw.wit <<'WIT'
package test:draw;
world draw { export draw: func() -> list<f64>; }
WIT
echo 'export function draw() { return [Math.random(), Math.random()]; }' > draw.js
for build in one two; do
  npx --no-install componentize-qjs --sync --wit draw.wit --js draw.js --output "$build.wasm" > /dev/null
done
cat > draw.py <<'PYTHON'
import sys

from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker

engine = Engine()
component = Component.from_file(engine, sys.argv[1])
for _ in range(2):
    linker = Linker(engine)
    linker.add_wasip2()
    store = Store(engine)
    store.set_wasi(WasiConfig())
    instance = linker.instantiate(store, component)
    print(instance.get_func(store, "draw")(store))
PYTHON
for build in one two; do
  for _ in 1 2; do venv/bin/python draw.py "$build.wasm"; done > "$build.txt"
  echo "build $build, two instances in each of two processes:" && cat "$build.txt"
done
[ "$(sort -u one.txt | wc -l)" = 1 ] && [ "$(sort -u two.txt | wc -l)" = 1 ] \
  || { echo "instances draw different numbers now" >&2; exit 1; }
[ "$(cat one.txt)" != "$(cat two.txt)" ] || { echo "builds draw the same numbers now" >&2; exit 1; }
