;; A memory with addresses of 64 bits.
;; ends: bad-component
(component (core module (memory i64 1)))
