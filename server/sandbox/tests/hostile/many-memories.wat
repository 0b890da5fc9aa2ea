;; Twenty memories.
;; ends: memory
(component (core module $m (memory 0)) @20{(core instance (instantiate $m))})
