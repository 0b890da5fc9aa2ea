;; Writes an adapter of NaNs, submits it and goes on as if nothing had happened. `read-raw` tells
;; it how many values there are; the list lies where the guest's allocator puts it.
;; ends: not-finite
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "read-raw" (func $read (param i32 i32)))
  (import "fedseal:policy/host@0.1.0" "write-raw" (func $write (param i32 i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (memory (export "memory") 64)
  (func (export "run") (result i32)
    (local $g i32) (local $i i32)
    (local.set $g (call $global))
    (call $read (local.get $g) (i32.const 64))
    (loop $fill
      (f32.store
        (i32.add (i32.load (i32.const 64)) (i32.shl (local.get $i) (i32.const 2)))
        (f32.const nan))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $fill (i32.lt_u (local.get $i) (i32.load (i32.const 68)))))
    (call $write (local.get $g) (i32.load (i32.const 64)) (i32.load (i32.const 68)) (i32.const 80))
    (call $submit (i32.load (i32.const 84)) (i32.const 1) (i32.const 96))
    (i32.const 0)))
