;; A type of a thousand values, for blocks that make so many each.
;; ends: declarations
(component (core module (type (func (param @1000{i64 })))))
