;; Two thousand functions from nothing: each handle that is dropped needs one that is compiled.
;; ends: declarations
(component (type $t (resource (rep i32))) @2000{(core func (canon resource.drop $t))})
