;; Imports a clock of WASI.
;; ends: bad-import
(component (import "wasi:clocks/wall-clock@0.2.0" (instance)))
