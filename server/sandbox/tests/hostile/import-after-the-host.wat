;; Imports the host and, after it, a way out by HTTP.
;; ends: bad-import
(component
  (import "fedseal:policy/host@0.1.0" (instance))
  (import "wasi:http/outgoing-handler@0.2.0" (instance)))
