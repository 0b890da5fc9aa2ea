;; Asks how many examples the dataset of handle -1 has.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "count" (func $count (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (drop (call $count (i32.const -1)))
    (i32.const 0)))
