//! Tables of FlatBuffers (flatbuffers.dev, "FlatBuffers internals"), as far as Arrow's messages need
//! them. Nothing is allocated beyond what the bytes hold.

/// A table, at a place in its buffer. Fields are named by their number in the schema.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Table<'a> {
    /// The table that a buffer holds.
    pub(super) fn root(bytes: &'a [u8]) -> Option<Self> {
        let at = offset(bytes, 0)?;
        Some(Self { bytes, at })
    }

    /// Place of a field; `None` where it has its default.
    fn place(&self, field: usize) -> Option<usize> {
        let back = i32::from_le_bytes(array(self.bytes, self.at)?);
        let table = i64::try_from(self.at).ok()? - i64::from(back);
        let table = usize::try_from(table).ok()?;
        let size = u16::from_le_bytes(array(self.bytes, table)?) as usize;
        let entry = 4 + 2 * field;
        if entry + 2 > size {
            return None;
        }
        match u16::from_le_bytes(array(self.bytes, table + entry)?) {
            0 => None,
            inside => Some(self.at + inside as usize),
        }
    }

    /// The bytes of a number.
    fn number<const N: usize>(&self, field: usize) -> Option<[u8; N]> {
        array(self.bytes, self.place(field)?)
    }

    pub(super) fn byte(&self, field: usize) -> u8 {
        self.number(field).map_or(0, |[byte]| byte)
    }

    pub(super) fn bool(&self, field: usize) -> bool {
        self.byte(field) != 0
    }

    pub(super) fn short(&self, field: usize, default: i16) -> i16 {
        self.number(field).map_or(default, i16::from_le_bytes)
    }

    pub(super) fn int(&self, field: usize, default: i32) -> i32 {
        self.number(field).map_or(default, i32::from_le_bytes)
    }

    pub(super) fn long(&self, field: usize) -> i64 {
        self.number(field).map_or(0, i64::from_le_bytes)
    }

    pub(super) fn table(&self, field: usize) -> Option<Table<'a>> {
        let at = offset(self.bytes, self.place(field)?)?;
        Some(Self { at, ..*self })
    }

    /// The elements of a vector, each of so many bytes, and the place of the first.
    fn elements(&self, field: usize, width: usize) -> Option<(usize, &'a [u8])> {
        let at = offset(self.bytes, self.place(field)?)?;
        let count = u32::from_le_bytes(array(self.bytes, at)?) as usize;
        let start = at.checked_add(4)?;
        let end = start.checked_add(count.checked_mul(width)?)?;
        Some((start, self.bytes.get(start..end)?))
    }

    fn vector(&self, field: usize, width: usize) -> Option<&'a [u8]> {
        self.elements(field, width).map(|(_, elements)| elements)
    }

    pub(super) fn text(&self, field: usize) -> Option<&'a str> {
        std::str::from_utf8(self.vector(field, 1)?).ok()
    }

    /// The tables of a vector; `None` where one is not there.
    pub(super) fn tables(&self, field: usize) -> Option<Vec<Table<'a>>> {
        let Some((start, elements)) = self.elements(field, 4) else {
            return Some(Vec::new());
        };
        (0..elements.len() / 4)
            .map(|index| {
                let at = offset(self.bytes, start + 4 * index)?;
                Some(Self { at, ..*self })
            })
            .collect()
    }

    /// The numbers of a vector.
    pub(super) fn longs(&self, field: usize) -> Vec<i64> {
        let elements = self.vector(field, 8).unwrap_or_default();
        let (numbers, _) = elements.as_chunks::<8>();
        numbers.iter().map(|it| i64::from_le_bytes(*it)).collect()
    }

    /// The places of a footer's blocks (File.fbs, `Block`: a place and two lengths).
    pub(super) fn blocks(&self, field: usize) -> Vec<u64> {
        let elements = self.vector(field, 24).unwrap_or_default();
        let (blocks, _) = elements.as_chunks::<24>();
        let places = blocks.iter().filter_map(|block| block.first_chunk());
        places.map(|place| u64::from_le_bytes(*place)).collect()
    }

    /// The structures of a vector, two numbers each.
    pub(super) fn pairs(&self, field: usize) -> Vec<(i64, i64)> {
        let elements = self.vector(field, 16).unwrap_or_default();
        let (numbers, _) = elements.as_chunks::<8>();
        let numbers: Vec<i64> = numbers.iter().map(|it| i64::from_le_bytes(*it)).collect();
        let (pairs, _) = numbers.as_chunks::<2>();
        pairs.iter().map(|[one, two]| (*one, *two)).collect()
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Follows the offset that stands at a place.
fn offset(bytes: &[u8], at: usize) -> Option<usize> {
    at.checked_add(u32::from_le_bytes(array(bytes, at)?) as usize)
}
