//! Certificates that are read again while the agent runs. Without TLS there are none.

#[cfg(feature = "tls")]
use tracing::{info, warn};

use haproxy_spoa::Control;

/// Reads certificates and keys again, and logs what came of it. A line about it, whether it went well or not; `None` if there are
/// none.
#[must_use]
pub fn renew(control: &Control) -> Option<Result<String, String>> {
    #[cfg(feature = "tls")]
    return match control.renew_certificates() {
        Ok(0) => None,
        Ok(_) => {
            info!("certificates reloaded");
            Some(Ok(
                "new connections get the certificates as they are now".to_owned()
            ))
        }
        Err(error) => {
            let remedy = error.remedy();
            warn!(%error, hint = remedy, "certificates not reloaded");
            let line = format!("{error}; {remedy}; all certificates stay as they were");
            Some(Err(line))
        }
    };
    #[cfg(not(feature = "tls"))]
    {
        let _ = control;
        None
    }
}
