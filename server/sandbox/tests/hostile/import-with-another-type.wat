;; Imports a function of the host with another type.
;; ends: bad-import
(component (import "fedseal:policy/host@0.1.0"
  (instance (export "log" (func (param "line" u32))))))
