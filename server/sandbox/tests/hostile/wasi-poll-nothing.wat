;; Waits for one of no things at all.
;; ends: trap
(component
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $p (sub resource)))
    (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $own (instantiate $memory))
  (core func $f (canon lower (func $poll "poll")
    (memory $own "memory") (realloc (func $own "realloc"))))
  (core module $m
    (import "w" "f" (func $f (param i32 i32 i32)))
    (func (export "run") (result i32) (call $f (i32.const 0) (i32.const 0) (i32.const 64)) (i32.const 0)))
  (core instance $i (instantiate $m (with "w" (instance (export "f" (func $f))))))
  (func (export "run") (result (result (error string)))
    (canon lift (core func $i "run") (memory $own "memory"))))
