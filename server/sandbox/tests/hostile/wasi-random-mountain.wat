;; Asks WASI for more random bytes than there is memory.
;; ends: trap
(component
  (import "wasi:random/random@0.2.0" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $own (instantiate $memory))
  (core func $f (canon lower (func $random "get-random-bytes")
    (memory $own "memory") (realloc (func $own "realloc"))))
  (core module $m
    (import "w" "f" (func $f (param i64 i32)))
    (func (export "run") (result i32) (call $f (i64.const -1) (i32.const 0)) (i32.const 0)))
  (core instance $i (instantiate $m (with "w" (instance (export "f" (func $f))))))
  (func (export "run") (result (result (error string)))
    (canon lift (core func $i "run") (memory $own "memory"))))
