//! Thrift's compact protocol, as far as Parquet's metadata needs it (Apache Thrift,
//! thrift-compact-protocol.md). Every element takes at least one byte of the input, so the size of
//! the parsed result is bounded by the number of bytes read.

/// A parsed value.
#[derive(Debug)]
pub(super) enum Item {
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Item>),
    Struct(Struct),
    /// Booleans, maps and floating-point numbers; no field that is read here has them.
    Other,
}

/// Fields, with their numbers.
#[derive(Debug, Default)]
pub(super) struct Struct(Vec<(i16, Item)>);

/// Reason why bytes are not a structure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The bytes end too early; with more bytes they may be a structure.
    Short,
    /// The bytes are not a structure.
    Wrong,
}

/// Deepest nesting; Parquet's own is about six.
const DEPTH: usize = 24;

impl Struct {
    /// Parses a structure from the front of `bytes`, and returns the number of bytes it took.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, usize), Broken> {
        let mut reader = Reader { rest: bytes };
        let parsed = reader.structure(0)?;
        Ok((parsed, bytes.len() - reader.rest.len()))
    }

    fn get(&self, field: i16) -> Option<&Item> {
        self.0
            .iter()
            .find(|(number, _)| *number == field)
            .map(|(_, item)| item)
    }

    pub(super) fn int(&self, field: i16) -> Option<i64> {
        match self.get(field) {
            Some(Item::Int(value)) => Some(*value),
            _ => None,
        }
    }

    /// Returns a field as a count or a size.
    pub(super) fn size(&self, field: i16) -> Option<usize> {
        self.int(field)
            .and_then(|value| usize::try_from(value).ok())
    }

    pub(super) fn text(&self, field: i16) -> Option<&str> {
        match self.get(field) {
            Some(Item::Bytes(bytes)) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    pub(super) fn inner(&self, field: i16) -> Option<&Struct> {
        match self.get(field) {
            Some(Item::Struct(inner)) => Some(inner),
            _ => None,
        }
    }

    /// Returns the structures of a list.
    pub(super) fn list(&self, field: i16) -> Option<Vec<&Struct>> {
        let Some(Item::List(items)) = self.get(field) else {
            return None;
        };
        items
            .iter()
            .map(|item| match item {
                Item::Struct(inner) => Some(inner),
                _ => None,
            })
            .collect()
    }
}

/// Takes a LEB128 number from the front of `rest`.
fn varint(rest: &mut &[u8]) -> Result<u64, Broken> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first().ok_or(Broken::Short)?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Broken::Wrong)
}

/// Takes a signed number in zig-zag form from the front of `rest`.
fn zigzag(rest: &mut &[u8]) -> Result<i64, Broken> {
    let value = varint(rest)?;
    Ok((value >> 1) as i64 ^ -((value & 1) as i64))
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Broken::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        let byte = self.take(1)?.first().copied();
        byte.ok_or(Broken::Short)
    }

    fn structure(&mut self, depth: usize) -> Result<Struct, Broken> {
        if depth > DEPTH {
            return Err(Broken::Wrong);
        }
        let mut fields = Vec::new();
        let mut number = 0i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(Struct(fields));
            }
            number = match head >> 4 {
                0 => i16::try_from(zigzag(&mut self.rest)?).map_err(|_| Broken::Wrong)?,
                step => number.checked_add(i16::from(step)).ok_or(Broken::Wrong)?,
            };
            let item = match head & 15 {
                1 | 2 => Item::Other,
                kind => self.item(kind, depth)?,
            };
            fields.push((number, item));
        }
    }

    fn item(&mut self, kind: u8, depth: usize) -> Result<Item, Broken> {
        if depth > DEPTH {
            return Err(Broken::Wrong);
        }
        Ok(match kind {
            // Only as an element of a list: one byte.
            1 | 2 => self.byte().map(|_| Item::Other)?,
            3 => Item::Int(i64::from(self.byte()? as i8)),
            4..=6 => Item::Int(zigzag(&mut self.rest)?),
            7 => self.take(8).map(|_| Item::Other)?,
            8 => {
                let length = self.length()?;
                Item::Bytes(self.take(length)?.to_vec())
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = match head >> 4 {
                    15 => self.length()?,
                    count => usize::from(count),
                };
                if count > self.rest.len() {
                    return Err(Broken::Short);
                }
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(self.item(head & 15, depth + 1)?);
                }
                Item::List(items)
            }
            11 => {
                let count = self.length()?;
                if count > 0 {
                    let kinds = self.byte()?;
                    for _ in 0..count {
                        self.item(kinds >> 4, depth + 1)?;
                        self.item(kinds & 15, depth + 1)?;
                    }
                }
                Item::Other
            }
            12 => Item::Struct(self.structure(depth + 1)?),
            13 => self.take(16).map(|_| Item::Other)?,
            _ => return Err(Broken::Wrong),
        })
    }

    fn length(&mut self) -> Result<usize, Broken> {
        usize::try_from(varint(&mut self.rest)?).map_err(|_| Broken::Wrong)
    }
}
