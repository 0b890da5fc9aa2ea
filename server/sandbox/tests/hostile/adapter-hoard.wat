;; Makes new adapters and keeps them all.
;; ends: host-memory
;; limit: host_bytes = 10000
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "scale" (func $scale (param i32 f64 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (local $g i32)
    (local.set $g (call $global))
    (loop $again (call $scale (local.get $g) (f64.const 0.5) (i32.const 64)) (br $again))
    (i32.const 0)))
