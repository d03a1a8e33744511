//! A small disk for a campaign's folder, which can be filled.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::statvfs::statvfs;

/// Set in a process that was started once more with the right to mount.
const INSIDE: &str = "ORZE_TEST_NAMESPACE";

/// A file system in memory over a folder, for as long as this value lives.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts one of so many MiB over a folder; why not, where that is not allowed.
    pub fn mount(folder: &Path, mib: u32) -> Result<Self, String> {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(folder)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self {
                folder: folder.to_owned(),
            }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(format!("mount: {error}")),
        }
    }

    /// Fills it until so many bytes are left.
    ///
    /// # Panics
    /// When it can't be written for another reason than that it is full.
    pub fn fill(&self, left: u64) {
        let mut file = File::create(self.filler()).expect("a file on the small disk");
        let block = vec![0_u8; 4096];
        while self.free() > left {
            if let Err(error) = file.write_all(&block) {
                let full = error.kind() == std::io::ErrorKind::StorageFull;
                assert!(full, "{error}");
                return;
            }
        }
    }

    /// Makes room again.
    ///
    /// # Panics
    /// When it was not filled.
    pub fn clear(&self) {
        std::fs::remove_file(self.filler()).expect("it was filled");
    }

    /// Bytes that are left.
    pub fn free(&self) -> u64 {
        let disk = statvfs(&self.folder).expect("the small disk is there");
        disk.blocks_available() * disk.fragment_size()
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process of a test that failed may still be there.
        let unmounted = Command::new("umount").arg("-l").arg(&self.folder).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            println!("{} is still mounted", self.folder.display());
        }
    }
}

/// Runs this very program again in a namespace of its own where it may mount, unless it may already
/// or can't have one; `Some` with whether that went well when it was run.
pub fn again_with_mounts() -> Option<bool> {
    // Its folder below /proc belongs to the user that a process acts as.
    let may_already = std::fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0);
    if may_already || std::env::var_os(INSIDE).is_some() {
        return None;
    }
    let namespaces = Command::new("unshare").args(["-rm", "true"]).status();
    if !namespaces.is_ok_and(|status| status.success()) {
        return None;
    }
    let this = std::env::current_exe().expect("this program has a file");
    let status = Command::new("unshare")
        .arg("-rm")
        .arg(this)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status();
    Some(status.expect("it ran a moment ago").success())
}
