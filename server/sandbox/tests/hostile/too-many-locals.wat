;; A function with 60,000 locals.
;; ends: declarations
(component (core module (func @60000{(local i32)})))
