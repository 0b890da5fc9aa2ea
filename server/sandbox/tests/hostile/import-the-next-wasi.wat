;; Imports a clock of a WASI that is not served.
;; ends: bad-import
(component (import "wasi:clocks/monotonic-clock@0.3.0" (instance)))
