;; Imports an instance by a plain name.
;; ends: bad-import
(component (import "host" (instance)))
