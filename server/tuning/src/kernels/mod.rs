//! CPU kernels. They know slices and shapes, not tensors.
