//! The process's own limits.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files as far as the process may: a connection is one.
pub(crate) fn raise_descriptors() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // Without it the agent holds fewer connections, and says how many.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
