;; Hands in examples without end.
;; ends: host-memory
;; limit: host_bytes = 300000
;; limit: handles = 100000
(module
  (import "fedseal:policy/host@0.1.0" "examples" (func $examples (param i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "[resource-drop]dataset" (func $drop-dataset (param i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (loop $again (call $examples (i32.const 4096) (i32.const 100) (i32.const 64)) (br $again))
    (i32.const 0)))
