;; A module that is larger than it may be.
;; ends: module-size
;; limit: module_bytes = 2000
(component (core module (memory 1) (data (i32.const 0) "@300{aaaaaaaaaa}")))
