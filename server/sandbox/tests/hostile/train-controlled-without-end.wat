;; Trains with control variates without end; the variates are held once, whatever it does.
;; ends: train-steps
;; limit: train_steps = 50
(module
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "shard" (func $shard (result i32)))
  (import "fedseal:policy/host@0.1.0" "train-controlled" (func $train (param i32 i32 i32 i32 f64 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "[resource-drop]adapter" (func $drop-adapter (param i32)))
  (import "fedseal:policy/host@0.1.0" "[resource-drop]dataset" (func $drop-dataset (param i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (local $g i32) (local $d i32)
    (local.set $g (call $global))
    (local.set $d (call $shard))
    (loop $again (call $train (local.get $g) (local.get $d) (i32.const 4) (i32.const 8) (f64.const 0.1) (f64.const 0) (i32.const 64)) (call $drop-adapter (i32.load (i32.const 68))) (br $again))
    (i32.const 0)))
