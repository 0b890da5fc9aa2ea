//! Blobs that a node fetched: by digest, in pieces, within a bound. A download that broke off goes on where it
//! stopped, also after a restart.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use fedseal_client_sdk::digest::Digest;
use fedseal_ledger::{Blobs, MAX_BLOB};

use super::link::Link;
use crate::{Error, Result};

/// Bytes that are asked for at once.
const PIECE: u64 = 4 << 20;

/// Fetched blobs.
pub struct Cache {
    blobs: Blobs,
    /// Pieces of blobs that are not whole yet.
    partial: PathBuf,
    most: u64,
}

impl Cache {
    /// A cache in a folder, of at most so many bytes; beyond that what no job needs goes.
    ///
    /// # Errors
    /// [`Error::Ledger`], [`Error::Io`].
    pub fn open(dir: &std::path::Path, most: u64) -> Result<Cache> {
        let partial = dir.join("partial");
        fs::create_dir_all(&partial).map_err(|source| Error::io(&partial, source))?;
        Ok(Cache {
            blobs: Blobs::open(dir.join("blobs"))?,
            partial,
            most,
        })
    }

    /// The blobs.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Fetches a blob, where it is not there.
    ///
    /// # Errors
    /// Any error of the link; [`Error::Tampered`] for other bytes than the digest's, which are forgotten.
    pub fn fetch(&self, link: &dyn Link, digest: &Digest) -> Result<()> {
        if self.blobs.contains(digest) {
            return Ok(());
        }
        let path = self.partial.join(digest.to_string());
        let io = |source| Error::io(&path, source);
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(io)?;
        loop {
            let have = file.metadata().map_err(io)?.len();
            let piece = link.piece(digest, have, PIECE)?;
            if have + piece.len() as u64 > MAX_BLOB {
                let _ = fs::remove_file(&path);
                return Err(Error::tampered(
                    format!("blob {digest}"),
                    format!("has more than {MAX_BLOB} bytes"),
                ));
            }
            file.write_all(&piece).map_err(io)?;
            if (piece.len() as u64) < PIECE {
                break;
            }
        }
        let bytes = fs::read(&path).map_err(io)?;
        let found = Digest::of(&bytes);
        if found == *digest {
            self.blobs.put(&bytes)?;
        }
        fs::remove_file(&path).map_err(io)?;
        match found == *digest {
            true => Ok(()),
            false => Err(Error::mismatch(
                "a blob of the federation",
                "came with other bytes",
                digest,
                &found,
            )),
        }
    }

    /// Forgets all but these where there is more than the bound.
    ///
    /// # Errors
    /// [`Error::Ledger`].
    pub fn shrink(&self, needed: &BTreeSet<Digest>) -> Result<()> {
        let mut bytes = 0;
        for digest in self.blobs.iter()? {
            let length = fs::metadata(self.blobs.path(&digest)).map_or(0, |meta| meta.len());
            bytes += length;
        }
        if bytes > self.most {
            self.blobs.retain(|digest| needed.contains(digest))?;
        }
        Ok(())
    }
}
