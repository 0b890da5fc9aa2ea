//! Aligned memory, memory that is about to be overwritten, and reusable scratch memory.

use std::cell::RefCell;

/// One cache line, which is also one AVX-512 register.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
struct Line([f32; 16]);

/// Floats that start at a cache line.
#[derive(Debug, Default)]
pub struct Aligned {
    lines: Vec<Line>,
    len: usize,
}

impl Aligned {
    /// Returns `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self {
            lines: vec![Line([0.0; 16]); len.div_ceil(16)],
            len,
        }
    }

    /// Makes room for `len` floats; their values are left over from earlier use.
    pub fn resize(&mut self, len: usize) {
        if self.lines.len() * 16 < len {
            self.lines = vec![Line([0.0; 16]); len.div_ceil(16)];
        }
        self.len = len;
    }

    /// The floats.
    pub fn as_slice(&self) -> &[f32] {
        // SAFETY: `lines` holds at least `len` initialised floats without padding between
        // them (repr(C), 64 bytes of 16 floats).
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    /// Returns the same memory as plain words.
    pub fn as_words(&self) -> &[u32] {
        words(self.as_slice())
    }

    /// As [`as_words`](Self::as_words), mutable.
    pub fn as_mut_words(&mut self) -> &mut [u32] {
        words_mut(self.as_mut_slice())
    }

    /// Returns the floats, mutable.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: as in `as_slice`, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// Returns the bit patterns of floats as words.
pub fn words(floats: &[f32]) -> &[u32] {
    // SAFETY: same size and alignment; every bit pattern is a word.
    unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), floats.len()) }
}

/// As [`words`], mutable.
pub fn words_mut(floats: &mut [f32]) -> &mut [u32] {
    // SAFETY: as in `words`; every bit pattern is a float too.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), floats.len()) }
}

/// Returns words as floats, for code that only moves them.
pub fn floats(words: &[u32]) -> &[f32] {
    // SAFETY: same size and alignment; every bit pattern is a float.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
}

/// Returns words as pairs of 16-bit values.
pub fn halves(words: &[u32]) -> &[u16] {
    // SAFETY: twice as many of half the size and a lower alignment; every bit pattern is one.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), 2 * words.len()) }
}

/// As [`halves`], mutable.
pub fn halves_mut(words: &mut [u32]) -> &mut [u16] {
    // SAFETY: as in `halves`, and the borrow is unique.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 2 * words.len()) }
}

/// Asks the C library to keep freed memory for the next use instead of giving it back.
///
/// A training step frees and allocates the same tensors as the one before; with glibc's defaults a
/// small model spends a fifth of its time on page faults. All threads share one arena: any thread
/// may run a step, and with separate arenas each would keep the memory of a whole step. Takes
/// effect once per process; with another C library nothing happens.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::{ffi::c_int, sync::Once};

        const M_TRIM_THRESHOLD: c_int = -1;
        const M_MMAP_THRESHOLD: c_int = -3;
        const M_ARENA_MAX: c_int = -8;
        unsafe extern "C" {
            fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        static ONCE: Once = Once::new();
        // SAFETY: mallopt takes two numbers, locks what it changes, and refuses what it does
        // not know. 32 MiB is the largest threshold that it accepts.
        ONCE.call_once(|| unsafe {
            mallopt(M_MMAP_THRESHOLD, 32 << 20);
            mallopt(M_TRIM_THRESHOLD, 1 << 30);
            mallopt(M_ARENA_MAX, 1);
        });
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<Aligned>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with `len` floats of scratch whose content is arbitrary.
///
/// The memory belongs to the thread and is reused, so hot loops neither allocate nor touch fresh
/// pages. Nested calls get separate memory.
pub fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    // Removed from the pool for the call: a stolen rayon task on this thread may ask for scratch
    // too.
    let mut memory = SCRATCH.with(|pool| {
        let mut pool = pool.borrow_mut();
        // The smallest sufficient one, else the largest, which then grows.
        let fit = (0..pool.len())
            .filter(|&i| pool[i].lines.len() * 16 >= len)
            .min_by_key(|&i| pool[i].lines.len())
            .or_else(|| (0..pool.len()).max_by_key(|&i| pool[i].lines.len()));
        fit.map(|i| pool.swap_remove(i)).unwrap_or_default()
    });
    memory.resize(len);
    let result = work(memory.as_mut_slice());
    SCRATCH.with(|pool| pool.borrow_mut().push(memory));
    result
}

/// Returns a vector of `len` floats that `fill` writes completely.
///
/// # Safety
/// `fill` must write every one of the `len` floats behind the pointer that it gets.
pub(crate) unsafe fn filled(len: usize, fill: impl FnOnce(Shared)) -> Vec<f32> {
    let mut values: Vec<f32> = Vec::with_capacity(len);
    fill(Shared {
        pointer: values.as_mut_ptr(),
        len,
    });
    // SAFETY: the capacity is `len`, and the caller vouches for the initialisation.
    unsafe { values.set_len(len) };
    values
}

/// As [`filled`], for two vectors of the same length.
///
/// # Safety
/// `fill` must write every float behind both pointers.
pub(crate) unsafe fn filled_pair(
    len: usize,
    fill: impl FnOnce(Shared, Shared),
) -> (Vec<f32>, Vec<f32>) {
    let mut first = Vec::new();
    let outer = |second| {
        let inner = |first| fill(first, second);
        // SAFETY: the caller's promise.
        first = unsafe { filled(len, inner) };
    };
    // SAFETY: the caller's promise.
    let second = unsafe { filled(len, outer) };
    (first, second)
}

/// An output that several threads write, each a separate part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared {
    pointer: *mut f32,
    len: usize,
}

// SAFETY: only a pointer; the unsafe methods that use it demand disjoint parts.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Returns all of a slice.
    pub(crate) fn new(slice: &mut [f32]) -> Self {
        Self {
            pointer: slice.as_mut_ptr(),
            len: slice.len(),
        }
    }

    /// Returns the capacity of a vector, which may be uninitialised.
    pub(crate) fn uninit(vector: &mut Vec<f32>) -> Self {
        Self {
            pointer: vector.as_mut_ptr(),
            len: vector.capacity(),
        }
    }

    /// Returns all of a slice of words.
    pub(crate) fn of_words(slice: &mut [u32]) -> Self {
        Self {
            pointer: slice.as_mut_ptr().cast(),
            len: slice.len(),
        }
    }

    /// Number of floats.
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// Returns a pointer to the float at `offset`.
    ///
    /// # Panics
    /// When `offset` lies beyond the end.
    pub(crate) fn at(self, offset: usize) -> *mut f32 {
        assert!(offset <= self.len, "offset beyond the output");
        // SAFETY: within the allocation or one past its end.
        unsafe { self.pointer.add(offset) }
    }

    /// Returns a part, which may interleave with the parts of others.
    ///
    /// # Panics
    /// When it does not lie within this one.
    pub(crate) fn part(self, offset: usize, len: usize) -> Self {
        assert!(
            offset.checked_add(len).is_some_and(|end| end <= self.len),
            "part beyond the output"
        );
        Self {
            pointer: self.at(offset),
            len,
        }
    }

    /// Returns a part as a slice.
    ///
    /// # Safety
    /// No other slice of these floats may exist at the same time, and the memory must still
    /// be there. It may be uninitialised only if the user writes before reading.
    pub(crate) unsafe fn slice<'a>(self, offset: usize, len: usize) -> &'a mut [f32] {
        let part = self.part(offset, len);
        // SAFETY: in bounds; uniqueness and lifetime are the caller's.
        unsafe { std::slice::from_raw_parts_mut(part.pointer, len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_is_aligned_nested_and_used_again() {
        let first = with_scratch(100, |outer| {
            outer.fill(1.0);
            with_scratch(10, |inner| inner.fill(2.0));
            assert!(outer.iter().all(|&value| value == 1.0));
            assert_eq!(outer.as_ptr() as usize % 64, 0);
            outer.as_ptr()
        });
        assert_eq!(with_scratch(90, |again| again.as_ptr()), first);
    }

    #[test]
    fn freed_memory_may_be_kept_twice() {
        keep_freed_memory();
        keep_freed_memory();
    }

    #[test]
    #[should_panic(expected = "part beyond the output")]
    fn parts_stay_within_the_output() {
        let mut values = [0.0; 4];
        // SAFETY: refused before a slice exists.
        unsafe { Shared::new(&mut values).slice(3, usize::MAX) };
    }
}
