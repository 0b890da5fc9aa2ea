;; A core module and not a component.
;; ends: bad-component
;; form: core
(module (func (export "run") (result i32) (i32.const 0)))
