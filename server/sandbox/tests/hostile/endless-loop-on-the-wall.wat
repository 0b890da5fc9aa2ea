;; Never comes back, with fuel and time of its own to spare.
;; ends: wall-time
;; limit: fuel = 9000000000000000000
;; limit: guest_seconds = 60
;; limit: wall_seconds = 1
(module
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (loop $again (br $again))
    (i32.const 0)))
