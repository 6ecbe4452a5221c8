//! Requests of probes, sent as the kubelet sends them.

use std::time::Duration;

use ureq::Agent;
use ureq::http::Response;
use ureq::tls::TlsConfig;

use crate::kubernetes::objects::HttpRequest;

/// Sends `request` on this machine: redirects are not followed, and certificates not checked, since what is asked is
/// whether the program answers.
pub(crate) fn get(request: &HttpRequest, timeout: Duration) -> Result<Response<ureq::Body>, ureq::Error> {
    // `ureq` takes the process' crypto provider; that another has been installed is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let agent: Agent = Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(timeout))
        .tls_config(TlsConfig::builder().disable_verification(true).build())
        .build()
        .into();
    let mut get = agent.get(request.local_url());
    for (name, value) in &request.headers {
        get = get.header(name, value);
    }
    get.call()
}
