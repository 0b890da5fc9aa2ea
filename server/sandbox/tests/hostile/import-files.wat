;; Imports the file system of WASI.
;; ends: bad-import
(component (import "wasi:filesystem/preopens@0.2.0" (instance)))
