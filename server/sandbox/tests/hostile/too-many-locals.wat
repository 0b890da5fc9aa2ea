;; A function with 60,000 locals.
;; ends: bad-component
(component (core module (func @60000{(local i32)})))
