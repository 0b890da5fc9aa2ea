//! The geometry of C2SP tlog-tiles (<https://c2sp.org/tlog-tiles>): names of tiles and entry
//! bundles, and their bytes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::tlog::node_hash;

use crate::{Error, Result};

/// Hashes in a full tile, entries in a full bundle: "exactly 256 hashes wide, or 8,192 bytes".
pub(super) const WIDTH: u64 = 256;

/// The longest entry, bytes: its length is a big-endian `uint16`.
pub(super) const MAX_ENTRY: usize = u16::MAX as usize;

/// Kind of a file under `tile/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The entries themselves.
    Entries,
    /// Hashes of the complete subtrees over `256^level` entries.
    Level(u8),
}

/// One file under `tile/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tile {
    pub kind: Kind,
    /// Its number among those of its kind.
    pub n: u64,
    /// How many items it holds, 1 to 256; under 256 it is partial.
    pub width: u64,
}

impl Kind {
    /// How many items of this kind a log of `size` entries has.
    pub(super) fn items(self, size: u64) -> u64 {
        match self {
            Kind::Entries => size,
            Kind::Level(level) => size.checked_shr(8 * u32::from(level)).unwrap_or(0),
        }
    }

    /// The widest tile number `n` of a log of `size` entries, if it has one.
    pub(super) fn tile(self, n: u64, size: u64) -> Option<Tile> {
        let before = n.checked_mul(WIDTH)?;
        let width = self.items(size).checked_sub(before)?.min(WIDTH);
        (width > 0).then_some(Tile {
            kind: self,
            n,
            width,
        })
    }

    /// All tiles of this kind that a log of `size` entries must have.
    pub(super) fn tiles(self, size: u64) -> impl Iterator<Item = Tile> {
        (0..self.items(size).div_ceil(WIDTH)).filter_map(move |n| self.tile(n, size))
    }
}

/// The kinds of which a log of `size` entries has at least one tile.
pub(super) fn kinds(size: u64) -> impl Iterator<Item = Kind> {
    std::iter::once(Kind::Entries)
        .chain((0..8).map(Kind::Level))
        .filter(move |kind| kind.items(size) > 0)
}

impl Tile {
    /// `tile/<L>/<N>[.p/<W>]`, the index "encoded into zero-padded 3-digit path elements. All but
    /// the last path element MUST begin with an `x`. For example, index 1234067 will be encoded as
    /// `x001/x234/067`."
    pub(super) fn path(&self) -> PathBuf {
        let mut text = match self.kind {
            Kind::Entries => "tile/entries".to_owned(),
            Kind::Level(level) => format!("tile/{level}"),
        };
        let mut groups = vec![self.n % 1000];
        let mut rest = self.n / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for (i, group) in groups.iter().enumerate().rev() {
            let x = if i > 0 { "x" } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(text, "/{x}{group:03}");
        }
        if self.width < WIDTH {
            let _ = write!(text, ".p/{}", self.width);
        }
        text.into()
    }

    /// Reads a path as [`Tile::path`] writes it, and only that.
    pub(super) fn parse(path: &Path) -> Option<Tile> {
        let text = path.to_str()?;
        let rest = text.strip_prefix("tile/")?;
        let (kind, rest) = rest.split_once('/')?;
        let kind = match kind {
            "entries" => Kind::Entries,
            level => Kind::Level(level.parse().ok()?),
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().ok()?),
            None => (rest, WIDTH),
        };
        let mut n: u64 = 0;
        for group in number.split('/') {
            let group: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
            n = n.checked_mul(1000)?.checked_add(group)?;
        }
        let tile = Tile { kind, n, width };
        (width > 0 && tile.path() == path).then_some(tile)
    }

    /// Longest file of its kind, bytes: 32 for a hash; an entry with its length before it.
    pub(super) fn most_bytes(&self) -> u64 {
        WIDTH
            * match self.kind {
                Kind::Entries => 2 + MAX_ENTRY as u64,
                Kind::Level(_) => 32,
            }
    }

    /// Whether a log of `size` entries contains all of it.
    pub(super) fn within(&self, size: u64) -> bool {
        self.n
            .checked_mul(WIDTH)
            .and_then(|before| before.checked_add(self.width))
            .is_some_and(|end| end <= self.kind.items(size))
    }
}

/// Appends an entry to a bundle: bundles are "sequences of big-endian uint16 length-prefixed log
/// entries".
pub(super) fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<()> {
    let length =
        u16::try_from(entry.len()).map_err(|_| Error::EntryTooLong { bytes: entry.len() })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The first `width` entries of a bundle.
pub(super) fn parse_bundle<'a>(path: &Path, bytes: &'a [u8], width: u64) -> Result<Vec<&'a [u8]>> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let item = rest
            .split_first_chunk::<2>()
            .and_then(|(length, rest)| rest.split_at_checked(u16::from_be_bytes(*length).into()));
        let Some((entry, after)) = item else {
            return Err(Error::corrupt(
                path,
                format!("cut off inside item {}", entries.len()),
            ));
        };
        entries.push(entry);
        rest = after;
    }
    if (entries.len() as u64) < width {
        return Err(Error::corrupt(
            path,
            format!("{} entries instead of {width}", entries.len()),
        ));
    }
    entries.truncate(width as usize);
    Ok(entries)
}

/// The first `width` hashes of a tile.
pub(super) fn parse_hashes(path: &Path, bytes: &[u8], width: u64) -> Result<Vec<Digest>> {
    let (chunks, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() || (chunks.len() as u64) < width {
        return Err(Error::corrupt(
            path,
            format!(
                "{} bytes instead of {} (32 a hash)",
                bytes.len(),
                width * 32
            ),
        ));
    }
    Ok(chunks
        .iter()
        .take(width as usize)
        .map(|c| Digest(*c))
        .collect())
}

pub(super) fn hash_bytes(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|h| h.0).collect()
}

/// The root over a power of two of hashes; none for another number of them.
pub(super) fn subtree_root(hashes: &[Digest]) -> Option<Digest> {
    if !hashes.len().is_power_of_two() {
        return None;
    }
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        let (pairs, _) = level.as_chunks::<2>();
        level = pairs.iter().map(|[l, r]| node_hash(l, r)).collect();
    }
    level.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(kind: Kind, n: u64, width: u64) -> Tile {
        Tile { kind, n, width }
    }

    #[test]
    fn paths() {
        for (tile, path) in [
            (tile(Kind::Level(0), 0, 256), "tile/0/000"),
            (tile(Kind::Level(1), 5, 7), "tile/1/005.p/7"),
            // The example of the specification.
            (tile(Kind::Level(0), 1_234_067, 256), "tile/0/x001/x234/067"),
            (
                tile(Kind::Entries, 1_000, 255),
                "tile/entries/x001/000.p/255",
            ),
        ] {
            assert_eq!(tile.path(), Path::new(path));
            assert_eq!(Tile::parse(Path::new(path)), Some(tile));
        }
        for bad in [
            "checkpoint",
            "tile/0",
            "tile/0/0",
            "tile/0/x000/001",
            "tile/0/000.p/256",
            "tile/0/000.p/0",
            "tile/0/000.p/01",
            "tile/00/000",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(Tile::parse(Path::new(bad)), None, "{bad}");
        }
    }

    #[test]
    fn geometry() {
        assert_eq!(Kind::Entries.tiles(0).count(), 0);
        let widths: Vec<u64> = Kind::Entries.tiles(600).map(|t| t.width).collect();
        assert_eq!(widths, [256, 256, 88]);
        assert_eq!(
            Kind::Level(1).tile(0, 600),
            Some(tile(Kind::Level(1), 0, 2))
        );
        assert_eq!(kinds(600).count(), 3);
        assert_eq!(kinds(u64::MAX).count(), 9);
        assert!(tile(Kind::Level(0), 2, 88).within(600));
        assert!(!tile(Kind::Level(0), 2, 89).within(600));
        assert!(!tile(Kind::Level(0), u64::MAX, 1).within(u64::MAX));
    }

    #[test]
    fn bundles() {
        let path = Path::new("b");
        let mut bundle = Vec::new();
        push_entry(&mut bundle, b"ab").unwrap();
        push_entry(&mut bundle, b"").unwrap();
        assert_eq!(bundle, b"\x00\x02ab\x00\x00");
        assert_eq!(
            parse_bundle(path, &bundle, 2).unwrap(),
            [b"ab".as_slice(), b""]
        );
        assert_eq!(parse_bundle(path, &bundle, 1).unwrap(), [b"ab"]);
        assert!(parse_bundle(path, &bundle, 3).is_err());
        assert!(parse_bundle(path, &bundle[..3], 1).is_err());
        assert!(parse_bundle(path, &bundle[..5], 1).is_err());
        assert!(push_entry(&mut bundle, &[0; MAX_ENTRY]).is_ok());
        assert!(matches!(
            push_entry(&mut bundle, &[0; MAX_ENTRY + 1]),
            Err(Error::EntryTooLong { bytes: 65_536 })
        ));
    }
}
