;; Imports a clock of WASI that is not among the virtual ones.
;; ends: bad-import
(component (import "wasi:clocks/timezone@0.2.0" (instance)))
