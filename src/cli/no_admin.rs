//! Stands in for the admin endpoint where the program was built without it.

use core::time::Duration;

use haproxy_spoa::{Agent, BindAddress};
use iprep_spoa::config::AdminKeys;
use iprep_spoa::feeds::Remote;
use iprep_spoa::host::log::LogDial;
use iprep_spoa::live::Live;
use iprep_spoa::policy::PolicyCell;

use super::args::Args;
use super::failure::Failure;

/// What the start says of any of these keys.
pub(crate) fn faults(keys: &AdminKeys) -> Vec<String> {
    let is_asked = keys.bind.is_some() || keys.token_file.is_some();
    let why = "[admin]: WRONG: this binary was built without the feature admin";
    is_asked.then(|| why.to_owned()).into_iter().collect()
}

/// No endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint;

impl Endpoint {
    pub(crate) fn bind(args: &Args, _: Option<(u32, u32)>) -> Result<Self, Failure> {
        if args.admin.is_none() && args.admin_token.is_none() {
            return Ok(Self);
        }
        let why = "this binary was built without the feature admin";
        Err(Failure::bad("--admin", why))
    }

    #[expect(clippy::unused_self, reason = "as that of the real one")]
    pub(crate) const fn address(&self) -> Option<&BindAddress> {
        None
    }

    #[expect(clippy::unnecessary_wraps, reason = "as that of the real one")]
    pub(crate) const fn serve(self) -> Result<Self, Failure> {
        Ok(self)
    }

    #[expect(clippy::unused_self, reason = "as that of the real one")]
    pub(crate) const fn descriptors(&self) -> usize {
        0
    }

    #[expect(clippy::unused_self, reason = "as that of the real one")]
    pub(crate) fn tell_of(
        &self,
        _: &Agent,
        _: Duration,
        _: Option<(Remote, PolicyCell)>,
        _: Option<Live>,
        _: &LogDial,
    ) {
    }
}
