;; Throws an exception.
;; ends: bad-component
(component (core module (tag $t) (func (throw $t))))
