;; Imports a function that the host does not have.
;; ends: bad-import
(component (import "fedseal:policy/host@0.1.0"
  (instance (export "open-file" (func (param "path" string))))))
