;; Breaks the boundary in functions that have the names of limits: the reason must not be one of them.
;; ends: trap
(module
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (func $"store handle limit exceeded" (call $log (i32.const 65530) (i32.const 100)))
  (func $"fuel allocated for hostcalls has been exhausted" (call $"store handle limit exceeded"))
  (func $"resource limit exceeded: instance count" (call $"fuel allocated for hostcalls has been exhausted"))
  (func (export "run") (result i32)
    (call $"resource limit exceeded: instance count")
    (i32.const 0)))
