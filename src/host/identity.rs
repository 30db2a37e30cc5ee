//! The user to run as: what root is needed for has been done by then.

use core::fmt;
use std::ffi::CString;
use std::io;

use nix::unistd::{
    Gid, Group, Uid, User, getegid, geteuid, getgrouplist, setgroups, setresgid, setresuid,
};

/// A user, and the group that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    user: Uid,
    group: Gid,
    /// Looked up with the rest: later there may be no user database to be read.
    supplementary: Vec<Gid>,
}

impl Identity {
    /// Looks up `USER` or `USER:GROUP`, each a name or a number. Without a group it is the user's.
    ///
    /// # Errors
    /// If the machine does not know one of them.
    pub fn find(text: &str) -> Result<Self, IdentityError> {
        let (user_text, group_text) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let known = user(user_text)?;
        let number = user_text.parse().ok().map(Uid::from_raw);
        let user = known.as_ref().map(|user| user.uid).or(number);
        let user = user.ok_or_else(|| IdentityError::NoUser(user_text.into()))?;
        let group = match (group_text, &known) {
            (Some(text), _) => group(text)?,
            (None, Some(user)) => user.gid,
            (None, None) => return Err(IdentityError::NoGroup(user_text.into())),
        };
        let name = known.and_then(|user| CString::new(user.name).ok());
        let supplementary = name.map_or_else(|| Ok(vec![group]), |name| getgrouplist(&name, group));
        Ok(Self {
            user,
            group,
            supplementary: supplementary
                .map_err(|error| IdentityError::Unreadable(error.into()))?,
        })
    }

    /// The numbers of the user and the group.
    #[must_use]
    pub const fn numbers(&self) -> (u32, u32) {
        (self.user.as_raw(), self.group.as_raw())
    }

    /// Becomes this user for good, in all threads, with its supplementary groups and no others.
    ///
    /// # Errors
    /// If the process is somebody else and not root, or the kernel refuses. It must end then: it may
    /// have given up one thing and not another.
    pub fn assume(&self) -> Result<(), IdentityError> {
        if !geteuid().is_root() {
            let already = geteuid() == self.user && getegid() == self.group;
            return if already {
                Ok(())
            } else {
                Err(IdentityError::NotRoot)
            };
        }
        // Groups first: afterwards there is no right to change them.
        setgroups(&self.supplementary)
            .and_then(|()| setresgid(self.group, self.group, self.group))
            .and_then(|()| setresuid(self.user, self.user, self.user))
            .map_err(|error| IdentityError::Refused(error.into()))?;
        let root = Uid::from_raw(0);
        if self.user != root && setresuid(root, root, root).is_ok() {
            let why = io::Error::other("the way back to root is still open");
            return Err(IdentityError::Refused(why));
        }
        Ok(())
    }
}

fn user(text: &str) -> Result<Option<User>, IdentityError> {
    let found = match text.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => User::from_name(text),
    };
    found.map_err(|error| IdentityError::Unreadable(error.into()))
}

fn group(text: &str) -> Result<Gid, IdentityError> {
    if let Ok(number) = text.parse() {
        return Ok(Gid::from_raw(number));
    }
    let found = Group::from_name(text).map_err(|error| IdentityError::Unreadable(error.into()))?;
    let found = found.ok_or_else(|| IdentityError::NoGroup(text.into()))?;
    Ok(found.gid)
}

/// Why the process did not become another user.
#[derive(Debug)]
pub enum IdentityError {
    /// The machine has no such user.
    NoUser(String),
    /// The machine has no such group, or knows none for a user that it has only a number of.
    NoGroup(String),
    /// The user database cannot be read.
    Unreadable(io::Error),
    /// Only root may become somebody else.
    NotRoot,
    /// The kernel refused.
    Refused(io::Error),
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUser(name) => write!(f, "there is no user \"{name}\""),
            Self::NoGroup(name) => {
                write!(f, "there is no group \"{name}\"; USER:GROUP names another")
            }
            Self::Unreadable(error) => write!(f, "the user database cannot be read: {error}"),
            Self::NotRoot => f.write_str("only root can become another user"),
            Self::Refused(error) => write!(f, "cannot become that user: {error}"),
        }
    }
}

impl core::error::Error for IdentityError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Unreadable(error) | Self::Refused(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_names_or_numbers() {
        assert_eq!(Identity::find("root").unwrap().numbers(), (0, 0));
        assert_eq!(Identity::find("0").unwrap().numbers(), (0, 0));
        assert_eq!(Identity::find("root:7").unwrap().numbers(), (0, 7));
        // No machine has this many users.
        let unnamed = Identity::find("4000000000:7").unwrap();
        assert_eq!(unnamed.numbers(), (4_000_000_000, 7));
        for (text, part) in [
            ("no such user", "no user \"no such user\""),
            ("", "no user \"\""),
            ("root:no such group", "no group \"no such group\""),
            ("4000000000", "no group \"4000000000\""),
        ] {
            let error = Identity::find(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn becoming_who_one_is_takes_no_right() {
        let own = Identity {
            user: geteuid(),
            group: getegid(),
            supplementary: Vec::new(),
        };
        if !geteuid().is_root() {
            own.assume().unwrap();
        }
    }
}
