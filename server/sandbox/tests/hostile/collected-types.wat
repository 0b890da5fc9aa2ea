;; A garbage-collected type.
;; ends: bad-component
(component (core module (type $s (struct (field i32))) (func (drop (struct.new $s (i32.const 1))))))
