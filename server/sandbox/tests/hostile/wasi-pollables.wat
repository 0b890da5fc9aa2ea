;; Makes things to wait for until the host's table is full.
;; ends: handles
(component
  (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $p (eq $outer)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core module $m
    (import "w" "subscribe" (func $subscribe (param i64) (result i32)))
    (memory (export "memory") 1)
    (func (export "run") (result i32)
      (loop $again (drop (call $subscribe (i64.const 1))) (br $again)) unreachable))
  (core instance $i (instantiate $m (with "w" (instance (export "subscribe" (func $subscribe))))))
  (func (export "run") (result (result (error string)))
    (canon lift (core func $i "run") (memory $i "memory"))))
