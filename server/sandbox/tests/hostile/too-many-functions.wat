;; More functions than any language's runtime has.
;; ends: declarations
(component (core module (type (func)) @130000{(func (type 0))}))
