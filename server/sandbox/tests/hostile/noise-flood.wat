;; Draws normal numbers without end.
;; ends: host-work
;; limit: host_work_bytes = 10000000
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "noise" (func $noise (param i32 f64 i32 i64 i32)))
  (import "fedseal:policy/host@0.1.0" "[resource-drop]adapter" (func $drop-adapter (param i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (local $g i32)
    (local.set $g (call $global))
    (loop $again (call $noise (local.get $g) (f64.const 1) (i32.const 0) (i64.const 0) (i32.const 64)) (call $drop-adapter (i32.load (i32.const 68))) (br $again))
    (i32.const 0)))
