//! How the runtime's memory is kept flat over weeks.

/// Has all threads allocate from one arena. By default the GNU C library gives each thread its own, and
/// what an actor leaves when it is started again on another thread stays there as holes: measured, 25 kB
/// an experiment in a campaign whose actors panic, against 3 kB from one arena. Workers, which are other
/// processes, are not concerned.
pub fn share_one_arena() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: a plain call without pointers. No other thread has been started yet. Where it is
        // refused, memory is all that it costs.
        #[allow(unsafe_code)]
        let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}
