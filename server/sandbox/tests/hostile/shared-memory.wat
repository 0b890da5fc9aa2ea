;; A memory for threads.
;; ends: bad-component
(component (core module (memory 1 1 shared)))
