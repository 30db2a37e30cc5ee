//! Certificates that are read again while the agent runs. Without TLS there are none.

use crate::agent::Control;

/// Reads certificates and keys again. A line about it, whether it went well or not; `None` if there are
/// none.
#[must_use]
pub fn renew(control: &Control) -> Option<Result<String, String>> {
    #[cfg(feature = "tls")]
    return match control.renew_certificates() {
        Ok(0) => None,
        Ok(_) => Some(Ok(
            "new connections get the certificates as they are now".into()
        )),
        Err(error) => Some(Err(format!(
            "{error}; {}; all certificates stay as they were",
            error.remedy()
        ))),
    };
    #[cfg(not(feature = "tls"))]
    {
        let _ = control;
        None
    }
}
