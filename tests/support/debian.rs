//! Programs out of Debian's packages, which are not installed.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the directory of a program; `scripts/debian` fetches it the first time.
pub(crate) fn debian(name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/debian");
    let output = Command::new(script).arg(name).output().unwrap();
    assert!(
        output.status.success(),
        "scripts/debian {name} failed, and this test needs it: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}
