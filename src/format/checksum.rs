//! Lines with a digest: as `md5sum`, `sha256sum` and their like write and read them.

use super::torrent::info_hash;
use super::write::hex;
use super::{File, Missing, Naming};

pub(super) fn md5(file: &File<'_>) -> Result<Vec<u8>, Missing> {
    Ok(line(file, &file.digests()?.md5))
}

pub(super) fn sha1(file: &File<'_>) -> Result<Vec<u8>, Missing> {
    Ok(line(file, &file.digests()?.sha1))
}

pub(super) fn sha256(file: &File<'_>) -> Result<Vec<u8>, Missing> {
    Ok(line(file, &file.digests()?.sha256.0))
}

pub(super) fn sha512(file: &File<'_>) -> Result<Vec<u8>, Missing> {
    Ok(line(file, &file.digests()?.sha512))
}

pub(super) fn btih(file: &File<'_>) -> Result<Vec<u8>, Missing> {
    Ok(line(file, &info_hash(file)?))
}

/// A name in a path has no line break and no backslash, which are all that such a line would have to escape.
fn line(file: &File<'_>, digest: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * digest.len() + 3 + file.name().len());
    hex(&mut out, digest);
    if file.naming == Naming::Named {
        out.extend_from_slice(b"  ");
        out.extend_from_slice(file.name());
    }
    out.push(b'\n');
    out
}
