;; Imports the host and, after it, a socket.
;; ends: bad-import
(component
  (import "fedseal:policy/host@0.1.0" (instance))
  (import "wasi:sockets/tcp@0.2.0" (instance)))
