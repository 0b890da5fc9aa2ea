;; Has a model write for a minute, where it may run for a second.
;; ends: wall-time
;; limit: wall_seconds = 1
(module
  (import "fedseal:policy/host@0.1.0" "generate" (func $generate (param i32 i32 i32 i32 f64 i32)))
  (memory (export "memory") 1)
  (data (i32.const 32) "\30\00\00\00\06\00\00\00")
  (data (i32.const 48) "dawdle")
  (func (export "run") (result i32)
    (call $generate (i32.const 32) (i32.const 1) (i32.const 0) (i32.const 6000) (f64.const 0) (i32.const 64))
    (i32.const 0)))
