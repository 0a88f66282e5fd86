//! Files that hold one secret.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// Far longer than any secret is.
const BYTES_MAX: u64 = 64 * 1024;

/// The secret in a file, without the end of its last line.
///
/// # Errors
/// What is wrong with the file and what to do, to be read after its name.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let unreadable = |error: io::Error| format!("cannot be read ({error}): check that it is there and yours");
    let file = File::open(path).map_err(unreadable)?;
    if is_exposed(&file).map_err(unreadable)? {
        return Err(format!("can be used by others: run `chmod 600 {}`", path.display()));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err("is too long for a secret: name the file that holds nothing else".into());
    }
    let text =
        str::from_utf8(&bytes).map_err(|_| "is not valid UTF-8: write the secret as text".to_owned())?;
    let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if text.is_empty() {
        return Err("is empty: write the secret into it".into());
    }
    Ok(Zeroizing::new(text.into()))
}

/// Whether anybody but the owner has any right to the file. Asked of the open file, so that it is the one that is read.
#[cfg(unix)]
fn is_exposed(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

/// Elsewhere the rights are those of the user's own directory.
#[cfg(not(unix))]
fn is_exposed(_: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_end_of_line_is_no_part_of_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let long = vec![b'a'; 65_537];
        for (bytes, expected) in [
            (&b"abc"[..], Ok("abc")),
            (b"abc\n", Ok("abc")),
            (b"abc\r\n", Ok("abc")),
            (b"abc\n\n", Ok("abc\n")),
            (b" a b \n", Ok(" a b ")),
            (b"", Err("is empty: write the secret into it")),
            (b"\n", Err("is empty: write the secret into it")),
            (b"\xff", Err("is not valid UTF-8: write the secret as text")),
            (&long, Err("is too long for a secret: name the file that holds nothing else")),
        ] {
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let read = read(&path);
            assert_eq!(read.as_ref().map(|text| text.as_str()).map_err(String::as_str), expected);
        }
    }

    #[test]
    fn a_secret_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "abc").unwrap();
        for (mode, is_good) in
            [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false), (0o644, false)]
        {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let expected = format!("can be used by others: run `chmod 600 {}`", path.display());
            assert_eq!(read(&path).err(), (!is_good).then_some(expected), "{mode:o}");
        }
        let missing = read(&folder.path().join("none")).unwrap_err();
        assert!(missing.starts_with("cannot be read (No such file"), "{missing}");
        let directory = folder.path().join("directory");
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
        assert!(read(&directory).unwrap_err().starts_with("cannot be read (Is a directory"));
    }
}
