;; Imports the file system of the first WASI.
;; ends: bad-import
(component (import "wasi_snapshot_preview1" (instance)))
