;; Exports nothing.
;; ends: bad-export
(component)
