;; Twenty tables.
;; ends: tables
(component (core module $m (table 0 funcref)) @20{(core instance (instantiate $m))})
