//! Where compiled plugins are kept.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use wasmtime::{Cache, CacheConfig};

/// The folder of compiled plugins: `$ORZE_CACHE_DIR`, else `$XDG_CACHE_HOME/orze-runtime`, else
/// `~/.cache/orze-runtime`; none where none of the three variables is set.
pub fn default_cache_folder() -> Option<PathBuf> {
    folder(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

fn folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| variable(name).map(PathBuf::from);
    path("ORZE_CACHE_DIR")
        .or_else(|| Some(path("XDG_CACHE_HOME")?.join("orze-runtime")))
        .or_else(|| Some(path("HOME")?.join(".cache").join("orze-runtime")))
}

/// The cache in a folder, made where it is missing. One that can't be used costs time, not the
/// campaign: it is reported and left out.
pub(crate) fn open(folder: &Path) -> Option<Cache> {
    // wasmtime takes absolute paths alone, and writes without a word to a folder that refuses it.
    let usable = std::path::absolute(folder).and_then(|folder| {
        std::fs::create_dir_all(&folder)?;
        can_write_in(&folder)?;
        Ok(folder)
    });
    let cache = usable.map_err(wasmtime::Error::from).and_then(|folder| {
        let mut config = CacheConfig::new();
        config.with_directory(folder);
        Cache::new(config)
    });
    match cache {
        Ok(cache) => Some(cache),
        Err(error) => {
            tracing::warn!(
                "compiled plugins can't be kept in {}: {error:#}; they are compiled at every start",
                folder.display()
            );
            None
        }
    }
}

/// Whether files can be made in a folder.
fn can_write_in(folder: &Path) -> std::io::Result<()> {
    let file = folder.join(format!(".probe-{}", std::process::id()));
    std::fs::write(&file, [])?;
    std::fs::remove_file(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Option<String> {
        let folder = folder(|name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        });
        folder.map(|folder| folder.display().to_string())
    }

    #[test]
    fn our_own_variable_wins_and_none_is_no_cache() {
        let home = ("HOME", "/h");
        let xdg = ("XDG_CACHE_HOME", "/x");
        assert_eq!(found(&[home]).as_deref(), Some("/h/.cache/orze-runtime"));
        assert_eq!(found(&[home, xdg]).as_deref(), Some("/x/orze-runtime"));
        assert_eq!(
            found(&[home, xdg, ("ORZE_CACHE_DIR", "/o")]).as_deref(),
            Some("/o")
        );
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn a_folder_that_is_a_file_is_left_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(open(file.path()).is_none());
        assert!(open(&file.path().join("below")).is_none());
    }
}
