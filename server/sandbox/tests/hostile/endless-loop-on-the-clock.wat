;; Never comes back, with more fuel than it can burn.
;; ends: guest-time
;; limit: fuel = 9000000000000000000
;; limit: guest_seconds = 1
(module
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (loop $again (br $again))
    (i32.const 0)))
