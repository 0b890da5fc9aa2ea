;; Submits and grows its memory without end.
;; ends: memory
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (call $submit (call $global) (i32.const 1) (i32.const 64))
    (loop $again (drop (memory.grow (i32.const 8))) (br $again))
    (i32.const 0)))
