;; Submits the global adapter twice.
;; ends: double-submit
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (local $g i32)
    (local.set $g (call $global))
    (call $submit (local.get $g) (i32.const 1) (i32.const 64))
    (call $submit (local.get $g) (i32.const 1) (i32.const 64))
    (i32.const 0)))
