;; Long prompts for short texts: reading costs the engine too.
;; ends: generated-tokens
;; limit: generated_tokens = 1000
(module
  (import "fedseal:policy/host@0.1.0" "generate" (func $generate (param i32 i32 i32 i32 f64 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (local $i i32)
    (memory.fill (i32.const 20000) (i32.const 97) (i32.const 10000))
    (loop $fill
      (i32.store (local.get $i) (i32.const 20000))
      (i32.store offset=4 (local.get $i) (i32.const 10000))
      (local.set $i (i32.add (local.get $i) (i32.const 8)))
      (br_if $fill (i32.lt_u (local.get $i) (i32.const 800))))
    (call $generate (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 1) (f64.const 0) (i32.const 9000))
    (i32.const 0)))
