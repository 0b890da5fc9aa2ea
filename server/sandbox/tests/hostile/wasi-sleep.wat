;; Sleeps for 584 years before it ends; the host's own clock does not move.
;; ends: no-submission
(component
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $p (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $p))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $p (eq $outer)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core module $m
    (import "w" "subscribe" (func $subscribe (param i64) (result i32)))
    (import "w" "block" (func $block (param i32)))
    (memory (export "memory") 1)
    (func (export "run") (result i32)
      (call $block (call $subscribe (i64.const -1)))
      (i32.const 0)))
  (core instance $i (instantiate $m (with "w" (instance
    (export "subscribe" (func $subscribe)) (export "block" (func $block))))))
  (func (export "run") (result (result (error string)))
    (canon lift (core func $i "run") (memory $i "memory"))))
