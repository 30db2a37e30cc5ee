//! The admin endpoint of an agent that runs, if one is asked for.

use core::time::Duration;

use haproxy_spoa::{Agent, BindAddress};
use iprep_spoa::admin::{
    ADMIN_DESCRIPTORS, Admin, AdminError, AdminOptions, DEFAULT_ADMIN_PORT, Serving, Subject, Token,
};
use iprep_spoa::config::AdminKeys;
use iprep_spoa::feeds::Remote;
use iprep_spoa::host::log::LogDial;
use iprep_spoa::live::Live;
use iprep_spoa::policy::PolicyCell;
use tracing::info;

use super::args::Args;
use super::failure::Failure;

/// An endpoint that has its address, or none.
#[derive(Debug)]
pub(crate) struct Bound(Option<Admin>);

/// An endpoint that answers, or none.
#[derive(Debug)]
pub(crate) struct Endpoint(Option<Serving>);

impl Endpoint {
    /// Reads the token and takes the address. A UNIX socket is given to `owner`.
    pub(crate) fn bind(args: &Args, owner: Option<(u32, u32)>) -> Result<Bound, Failure> {
        let Some(text) = &args.admin else {
            return match &args.admin_token {
                None => Ok(Bound(None)),
                Some(_) => Err(Failure::bad(
                    "--admin-token",
                    "there is no --admin that it is for",
                )),
            };
        };
        let token = args.admin_token.as_deref().map(Token::read).transpose();
        let options = AdminOptions {
            address: address(text).map_err(|why| Failure::bad("--admin", why.to_string()))?,
            unix_mode: args.admin_mode.unwrap_or(args.unix_mode),
            unix_owner: owner,
            token: token.map_err(|error| Failure::admin("--admin-token", &error))?,
            takeover: args.takeover,
        };
        let admin = Admin::bind(options).map_err(|error| Failure::admin("--admin", &error))?;
        Ok(Bound(Some(admin)))
    }

    /// Files that it has open at the most.
    pub(crate) const fn descriptors(&self) -> usize {
        if self.0.is_some() {
            ADMIN_DESCRIPTORS
        } else {
            0
        }
    }

    /// The agent is up.
    pub(crate) fn tell_of(
        &self,
        agent: &Agent,
        budget: Duration,
        engine: Option<(Remote, PolicyCell)>,
        live: Option<Live>,
        dial: &LogDial,
    ) {
        if let Some(serving) = &self.0 {
            let address = serving.address();
            info!(%address, "admin endpoint listening");
            serving.tell_of(Subject::new(agent, budget, engine, live, dial.clone()));
        }
    }
}

impl Bound {
    pub(crate) fn address(&self) -> Option<&BindAddress> {
        self.0.as_ref().map(Admin::address)
    }

    /// Answers that the agent is starting.
    pub(crate) fn serve(self) -> Result<Endpoint, Failure> {
        let serving = self.0.map(Admin::serve).transpose();
        serving.map(Endpoint).map_err(Failure::thread)
    }
}

/// What keeps an endpoint of these keys from being there, but for an address that another process has.
pub(crate) fn faults(keys: &AdminKeys) -> Vec<String> {
    let listen = keys.bind.as_deref().and_then(|text| {
        let why = match address(text) {
            Err(why) => why,
            Ok(address) if address.is_local() => return None,
            Ok(address) => AdminError::NotLocal(address),
        };
        Some(format!("[admin] bind: WRONG: {why}"))
    });
    let token = keys.token_file.as_deref().map(Token::read);
    let token = token.and_then(Result::err);
    let token = token.map(|why| format!("[admin] token-file: WRONG: {why}"));
    listen.into_iter().chain(token).collect()
}

/// The address of an endpoint. Without a port it is the endpoint's own default.
pub(super) fn address(text: &str) -> Result<BindAddress, AdminError> {
    let port = DEFAULT_ADMIN_PORT;
    BindAddress::parse(text, port).map_err(|why| AdminError::Address(text.to_owned(), why))
}
