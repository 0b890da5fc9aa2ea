;; Two memories, each within the limit, together beyond it.
;; ends: memory
(component
  (core module $m (memory 100))
  (core module $n (memory 100))
  (core instance (instantiate $m))
  (core instance (instantiate $n)))
