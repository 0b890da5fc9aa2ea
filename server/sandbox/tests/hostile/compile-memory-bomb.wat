;; Twenty thousand loops that each carry a hundred values: gigabytes for the compiler, from 200 kB.
;; ends: compile-memory
;; limit: compile_bytes = 100000000
(component (core module (type $wide (func (param @100{i64 }) (result @100{i64 })))
  (func (param i32 i64) @100{(local.get 1)}
    @20000{(loop (type $wide) (br_if 0 (local.get 0)))} @100{drop })))
