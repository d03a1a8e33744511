//! The limits of a running script: memory, processes, silence. All of them are looked at from outside,
//! whatever the script does.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use orze_campaign::protocol::CommandSpec;
use orze_campaign::{Failure, FailureKind};
use orze_processes::{Process, descendants};

/// Between two looks at the files of a silent script.
const FILES_EVERY: Duration = Duration::from_secs(1);

/// Watches one script.
#[derive(Debug)]
pub struct Watch<'a> {
    spec: &'a CommandSpec,
    /// The attempt's folder.
    out: PathBuf,
    /// The last line, or the moment at which a file was found changed.
    active: Instant,
    /// The newest time of a file seen so far.
    newest: SystemTime,
    looked: Instant,
}

impl<'a> Watch<'a> {
    /// Begins to watch.
    pub fn new(spec: &'a CommandSpec, out: &Path) -> Self {
        let now = Instant::now();
        Self {
            spec,
            out: out.to_owned(),
            active: now,
            newest: SystemTime::now(),
            looked: now,
        }
    }

    /// The failure of a script beyond a limit. `root` is the process that everything descends from
    /// and that does not count; `heard` the time of the last line.
    pub fn look(&mut self, root: u32, heard: Instant) -> Option<Failure> {
        self.memory_and_processes(root)
            .or_else(|| self.silence(heard))
    }

    fn memory_and_processes(&self, root: u32) -> Option<Failure> {
        if self.spec.memory_mib.is_none() && self.spec.processes.is_none() {
            return None;
        }
        // What can't be seen now is looked at again in a moment.
        let all = Process::all().ok()?;
        let mut tree = descendants(&all, root);
        tree.retain(|process| !process.zombie);
        if let Some(most) = self.spec.processes
            && tree.len() > most as usize
        {
            let message = format!(
                "the command runs {} processes at once; `slots.processes` allows {most}",
                tree.len()
            );
            return Some(Failure::new(FailureKind::TrainerFault, message));
        }
        let allowed = self.spec.memory_mib?;
        let used = memory_kib(&tree, allowed.saturating_mul(1024)) >> 10;
        (used > allowed).then(|| {
            let message = format!(
                "the command uses {used} MiB of memory; `slots.memory_mib` allows {allowed} MiB"
            );
            Failure::new(FailureKind::OutOfMemory, message)
        })
    }

    fn silence(&mut self, heard: Instant) -> Option<Failure> {
        let allowed = self.spec.silence_s?;
        self.active = self.active.max(heard);
        if self.active.elapsed().as_secs_f64() <= allowed || self.looked.elapsed() < FILES_EVERY {
            return None;
        }
        self.looked = Instant::now();
        let newest = newest(&self.out);
        if newest > self.newest {
            self.newest = newest;
            let age = newest.elapsed().unwrap_or_default();
            let at = self.looked.checked_sub(age).unwrap_or(self.active);
            self.active = self.active.max(at);
        }
        let silent = self.active.elapsed().as_secs_f64();
        (silent > allowed).then(|| {
            let message = format!(
                "the command wrote no line and no file for {silent:.0} s; `trainer.silence_s` \
                 allows {allowed}"
            );
            Failure::new(FailureKind::Hung, message)
        })
    }
}

/// The memory of some processes. Pages that they share are told apart only where that decides: it is
/// slow.
fn memory_kib(tree: &[Process], allowed: u64) -> u64 {
    let resident: u64 = tree.iter().map(Process::resident_kib).sum();
    if resident <= allowed || tree.len() < 2 {
        return resident;
    }
    tree.iter().map(Process::proportional_kib).sum()
}

/// When the newest file of a folder was written; links are not followed.
fn newest(folder: &Path) -> SystemTime {
    let mut newest = SystemTime::UNIX_EPOCH;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // What vanishes meanwhile was not written last.
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(found) = entry.metadata() else {
                continue;
            };
            if found.is_dir() {
                folders.push(entry.path());
            }
            newest = newest.max(found.modified().unwrap_or(SystemTime::UNIX_EPOCH));
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_file_is_found_in_any_depth_and_not_behind_links() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let deep = folder.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::os::unix::fs::symlink(other.path(), folder.path().join("link")).unwrap();
        let at = |file: &Path, hours: u64| {
            let time = SystemTime::now() + Duration::from_secs(hours * 3600);
            std::fs::write(file, "x").unwrap();
            let file = std::fs::File::options().write(true).open(file).unwrap();
            file.set_modified(time).unwrap();
            time
        };
        let expected = at(&deep.join("x"), 1);
        at(&other.path().join("y"), 2);
        assert_eq!(newest(folder.path()), expected);
    }

    #[test]
    fn a_lone_process_counts_in_full() {
        let this = Process::find(std::process::id()).unwrap();
        assert!(memory_kib(&[this], 0) > 100);
        let twice = memory_kib(&[this, this], 0);
        assert!(twice > 100 && twice <= 2 * memory_kib(&[this], 0));
    }
}
