//! How often the system has ended processes for want of memory.

use std::path::Path;

/// Kills so far in this process's control group; in the whole machine where the group can't be seen.
/// 0 when nothing can: then a kill is no evidence.
pub fn kills() -> u64 {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    group(&groups)
        .and_then(|file| counter(&std::fs::read_to_string(file).ok()?))
        .or_else(|| counter(&std::fs::read_to_string("/proc/vmstat").ok()?))
        .unwrap_or(0)
}

/// The file with the counter of the group that `/proc/self/cgroup` names.
fn group(groups: &str) -> Option<String> {
    groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let path = path.trim_end_matches('/');
        let file = if controllers.is_empty() {
            format!("/sys/fs/cgroup{path}/memory.events")
        } else if controllers.split(',').any(|name| name == "memory") {
            format!("/sys/fs/cgroup/memory{path}/memory.oom_control")
        } else {
            return None;
        };
        Path::new(&file).is_file().then_some(file)
    })
}

fn counter(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_read_from_either_kind_of_file() {
        assert_eq!(
            counter("low 0\noom 3\noom_kill 2\noom_group_kill 0\n"),
            Some(2)
        );
        assert_eq!(
            counter("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"),
            Some(5)
        );
        assert_eq!(counter("nothing"), None);
        assert_eq!(group("3:cpu:/x\n0::/no/such/group\n"), None);
    }
}
