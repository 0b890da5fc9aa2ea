;; Twenty thousand tables of branches in one function, and no time to compile them.
;; ends: compile-time
;; limit: compile_seconds = 0
(component (core module (func (param i32)
  @10{(block} @20000{(block (br_table 0 1 2 3 4 5 6 7 8 9 (local.get 0)))} @10{)})))
