;; Calls itself with two thousand locals in every frame.
;; ends: stack-overflow
(module
  (memory (export "memory") 1)
  (func $deep (param i64) (result i64)
    @2000{(local i64)}
    (local.set 1000 (i64.add (local.get 0) (i64.const 1)))
    (local.set 1999 (call $deep (local.get 1000)))
    (i64.add (local.get 1000) (local.get 1999)))
  (func (export "run") (result i32)
    (drop (call $deep (i64.const 1)))
    (i32.const 0)))
