//! Every name on the way to a file, with the folder that it stands in.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The most symbolic links on the way, as in the kernel.
const LINKS_MAX: usize = 40;

/// The names, symbolic links followed. It ends where something does not exist.
pub(super) fn resolve_chain(file: &Path) -> Vec<(PathBuf, OsString)> {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let mut left: VecDeque<Step> = steps(&file).collect();
    let mut here = PathBuf::from("/");
    let (mut trail, mut links) = (Vec::new(), 0);
    while let Some(step) = left.pop_front() {
        let name = match step {
            Step::Root => {
                here = PathBuf::from("/");
                continue;
            }
            Step::Up => {
                here.pop();
                continue;
            }
            Step::Name(name) => name,
        };
        let next = here.join(&name);
        trail.push((here.clone(), name));
        match fs::read_link(&next) {
            Ok(target) if links < LINKS_MAX => {
                links += 1;
                for step in steps(&target).collect::<Vec<_>>().into_iter().rev() {
                    left.push_front(step);
                }
            }
            _ => here = next,
        }
    }
    trail
}

enum Step {
    Root,
    Up,
    Name(OsString),
}

fn steps(path: &Path) -> impl Iterator<Item = Step> {
    path.components().filter_map(|component| match component {
        Component::RootDir => Some(Step::Root),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Name(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_by_name() {
        let folder = std::env::temp_dir().join(format!("spoa-trail-{}", std::process::id()));
        fs::create_dir_all(folder.join("one")).unwrap();
        symlink("one", folder.join("..data")).unwrap();
        symlink("..data/list", folder.join("list")).unwrap();
        fs::write(folder.join("one/list"), "").unwrap();
        let found = resolve_chain(&folder.join("list"));
        let real = fs::canonicalize(&folder).unwrap();
        for (place, name) in [
            (real.clone(), "list"),
            (real.clone(), "..data"),
            (real.clone(), "one"),
            (real.join("one"), "list"),
        ] {
            assert!(found.contains(&(place, name.into())), "{name}: {found:?}");
        }
        symlink("loop", folder.join("loop")).unwrap();
        assert!(resolve_chain(&folder.join("loop")).len() < 100);
        fs::remove_dir_all(&folder).unwrap();
    }
}
