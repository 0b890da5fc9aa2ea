;; Imports a function at the top.
;; ends: bad-import
(component (import "random" (func (result u64))))
