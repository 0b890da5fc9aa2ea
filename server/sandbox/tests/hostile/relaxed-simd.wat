;; An instruction whose result differs from machine to machine.
;; ends: bad-component
(component (core module (func (result v128)
  (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0)))))
