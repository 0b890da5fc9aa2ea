;; Two hundred core instances.
;; ends: instances
(component (core module $m) @200{(core instance (instantiate $m))})
