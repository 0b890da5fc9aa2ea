;; Joins an example of 64 KiB with itself 512 times and trains on it: the engine's list has a copy of
;; each, and the tokens of each.
;; ends: host-memory
;; limit: host_bytes = 50000000
;; limit: handles = 300
(module
  (import "fedseal:policy/host@0.1.0" "examples" (func $examples (param i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "concat" (func $concat (param i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "train" (func $train (param i32 i32 i32 i32 f64 f64 i32)))
  (memory (export "memory") 8)
  (func (export "run") (result i32)
    (local $i i32)
    (memory.fill (i32.const 262144) (i32.const 97) (i32.const 65536))
    (i32.store (i32.const 64) (i32.const 262144))
    (i32.store (i32.const 68) (i32.const 65536))
    (call $examples (i32.const 64) (i32.const 1) (i32.const 32))
    (loop $fill
      (i32.store (i32.add (i32.const 131072) (i32.shl (local.get $i) (i32.const 2))) (i32.load (i32.const 36)))
      (br_if $fill (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 512))))
    (call $concat (i32.const 131072) (i32.const 512) (i32.const 32))
    (call $train (call $global) (i32.load (i32.const 36)) (i32.const 4) (i32.const 8) (f64.const 0.1) (f64.const 0) (i32.const 48))
    (i32.const 0)))
