;; Imports another version of the host.
;; ends: bad-import
(component (import "fedseal:policy/host@0.2.0" (instance)))
