;; Writes to standard output without end.
;; ends: log-limit
(component
  (import "wasi:io/error@0.2.0" (instance $errors (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (alias outer 1 $error (type $outer))
    (export "error" (type $e (eq $outer)))
    (export "output-stream" (type $o (sub resource)))
    (type $why (variant (case "last-operation-failed" (own $e)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $why)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $o)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output (type $outer))
    (export "output-stream" (type $o (eq $outer)))
    (export "get-stdout" (func (result (own $o))))))
  (core module $memory (memory (export "memory") 1))
  (core instance $own (instantiate $memory))
  (core func $get (canon lower (func $stdout "get-stdout")))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
    (memory $own "memory")))
  (core module $m
    (import "w" "get" (func $get (result i32)))
    (import "w" "write" (func $write (param i32 i32 i32 i32)))
    (func (export "run") (result i32)
      (local $stream i32)
      (local.set $stream (call $get))
      (loop $again
        (call $write (local.get $stream) (i32.const 1024) (i32.const 2048) (i32.const 0))
        (br $again))
      unreachable))
  (core instance $i (instantiate $m (with "w" (instance
    (export "get" (func $get)) (export "write" (func $write))))))
  (func (export "run") (result (result (error string)))
    (canon lift (core func $i "run") (memory $own "memory"))))
