//! The order in which rights are given up.
//!
//! ```text
//!  look up the user, take what was passed      while everything can still be read
//!  take the admin endpoint's address           that of a machine's own people
//!  confine                                     before any thread, before any list is read
//!  take the addresses                          as root, if that is who we are
//!  become the user                             before any worker runs
//! ```

use haproxy_spoa::{Bind, BindAddress, BoundAgent, Builder, PassedSocket};
use iprep_spoa::config::values::When;
use iprep_spoa::host::confine::{Confined, Confinement, Extent};
use iprep_spoa::host::identity::Identity;
use iprep_spoa::host::sockets;
use tracing::info;

use super::args::Args;
use super::failure::Failure;

/// What the process has been given, and has still to give up.
pub(crate) struct ProcessSetup {
    identity: Option<Identity>,
    passed: Vec<PassedSocket>,
    files: Confinement,
    /// To be kept as long as the process runs.
    confined: Option<Confined>,
}

impl ProcessSetup {
    /// Finds out what has been given.
    pub(crate) fn find(args: &Args) -> Result<Self, Failure> {
        let identity = args.user.as_deref().map(Identity::find).transpose();
        let identity = identity.map_err(|error| Failure::user(&error))?;
        let passed = sockets::passed().map_err(|error| Failure::passed(&error))?;
        Ok(Self {
            identity,
            passed,
            files: Confinement::new(),
            confined: None,
        })
    }

    /// Whom UNIX sockets are to belong to, if not to who we are: a user and a group.
    pub(crate) fn owner(&self) -> Option<(u32, u32)> {
        self.identity.as_ref().map(Identity::numbers)
    }

    /// Confines the process to what it listens on, `admin` among it, and to `files`. A default
    /// address is left out if sockets were passed.
    pub(crate) fn confine(
        &mut self,
        args: &Args,
        binds: &mut Vec<Bind>,
        admin: Option<&BindAddress>,
        mut files: Confinement,
    ) -> Result<(), Failure> {
        if !self.passed.is_empty() && !args.is_bound {
            binds.clear();
        }
        #[cfg(feature = "tls")]
        for tls in binds.iter().filter_map(|bind| bind.tls.as_ref()) {
            // To be renewed.
            for file in tls.files() {
                files.reads_file(&file);
            }
        }
        let addresses = binds.iter().map(|bind| &bind.address);
        for address in addresses.chain(admin) {
            if let BindAddress::Unix(path) = address {
                files.listens(path);
            }
        }
        self.confined = confine(args.confine, files.clone())?;
        self.files = files;
        Ok(())
    }

    /// Has the agent use what was passed.
    pub(crate) fn equip(&mut self, builder: Builder) -> Builder {
        let builder = match self.owner() {
            Some((user, group)) => builder.unix_owner(user, group),
            None => builder,
        };
        self.passed.drain(..).fold(builder, Builder::socket)
    }

    /// Whether the process becomes another user once it listens.
    pub(crate) fn changes_user(&self) -> bool {
        self.identity.is_some()
    }

    /// Takes the addresses, and becomes the user that was asked for.
    pub(crate) fn listen(&self, builder: Builder, args: &Args) -> Result<BoundAgent, Failure> {
        let listening = builder.listen();
        let listening = listening.map_err(|error| Failure::start(&error, args))?;
        if let Some(identity) = &self.identity {
            identity.assume().map_err(|error| Failure::user(&error))?;
            if let Some((file, error)) = self.files.unreadable() {
                return Err(Failure::unreadable(file, &error));
            }
        }
        Ok(listening)
    }

    /// Logs what the process can still access.
    pub(crate) fn say(&self) {
        if let Some(confined) = &self.confined {
            let (reads, writes) = (confined.reads(), confined.writes());
            match confined.extent() {
                Extent::Full => info!(reads, writes, "confined"),
                Extent::Partial => info!(reads, writes, "confined partially"),
                Extent::None => info!(reason = "no Landlock in this kernel", "not confined"),
            }
        }
    }
}

fn confine(when: When, files: Confinement) -> Result<Option<Confined>, Failure> {
    if when == When::Off {
        return Ok(None);
    }
    let confined = files.apply().map_err(|error| Failure::confine(&error))?;
    if when == When::Require && confined.extent() != Extent::Full {
        return Err(Failure::confine(&confined.extent()));
    }
    Ok(Some(confined))
}
