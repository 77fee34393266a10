//! Files and folders of machine code, which the host runs: whether others can write them.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The user of this process, without a call into the C library.
pub(crate) fn user() -> io::Result<u32> {
    Ok(fs::metadata("/proc/self")?.uid())
}

/// Checks that one of these users owns a file or folder, and that nobody but its owner can write it. A symbolic link does
/// not pass.
pub(crate) fn check(path: &Path, found: &Metadata, owners: &[u32]) -> io::Result<()> {
    if found.is_symlink() || found.mode() & 0o022 != 0 || !owners.contains(&found.uid()) {
        let path = path.display();
        return Err(io::Error::other(format!("other users can write {path}, and its contents would be executed")));
    }
    Ok(())
}

/// Opens a file that nobody but this process's user can write.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let named = fs::symlink_metadata(path)?;
    // Before it is opened: to open a pipe would wait for a writer.
    if !named.is_file() {
        return Err(io::Error::other(format!("{} is not a regular file", path.display())));
    }
    let file = File::open(path)?;
    let found = file.metadata()?;
    check(path, &found, &[user()?])?;
    // The flag that refuses symbolic links has another value on each architecture.
    if (found.dev(), found.ino()) != (named.dev(), named.ino()) {
        return Err(io::Error::other(format!("{} was replaced while it was opened", path.display())));
    }
    Ok(file)
}
