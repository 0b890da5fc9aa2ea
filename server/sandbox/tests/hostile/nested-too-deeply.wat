;; A component in a component, a dozen deep.
;; ends: bad-component
(component @12{(component} @12{)})
