;; Forty tables.
;; ends: tables
(component (core module $m (table 0 funcref)) @40{(core instance (instantiate $m))})
