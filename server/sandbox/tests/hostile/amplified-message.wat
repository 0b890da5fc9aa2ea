;; A list of 16,384 examples that all point at the same 64 KiB: 2 GiB for the host to copy.
;; ends: call-bytes
(module
  (import "fedseal:policy/host@0.1.0" "examples" (func $examples (param i32 i32 i32)))
  (memory (export "memory") 8)
  (func (export "run") (result i32)
    (local $i i32)
    (memory.fill (i32.const 262144) (i32.const 97) (i32.const 65536))
    (loop $fill
      (i32.store (i32.shl (local.get $i) (i32.const 2)) (i32.const 262144))
      (i32.store (i32.add (i32.shl (local.get $i) (i32.const 2)) (i32.const 4)) (i32.const 65536))
      (local.set $i (i32.add (local.get $i) (i32.const 2)))
      (br_if $fill (i32.lt_u (local.get $i) (i32.const 65536))))
    (call $examples (i32.const 0) (i32.const 16384) (i32.const 400000))
    (i32.const 0)))
