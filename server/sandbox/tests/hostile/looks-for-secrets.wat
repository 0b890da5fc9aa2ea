;; Looks through all of its memory for what another guest left in its slot; traps if it finds any.
;; ends: no-submission
(module
  (memory (export "memory") 32)
  (func (export "run") (result i32)
    (local $i i32)
    (loop $next
      (if (i64.ne (i64.load (local.get $i)) (i64.const 0)) (then unreachable))
      (local.set $i (i32.add (local.get $i) (i32.const 8)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 2097152))))
    (i32.const 0)))
