;; Exports a function of another name.
;; ends: bad-export
(component
  (core module $m (func (export "f") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func (export "runs") (result u32) (canon lift (core func $i "f"))))
