//! Which files and folders a configuration has the agent read and write, again and again.

use std::path::Path;

use super::{Config, OwnList, Place, Secret};
use crate::fleet::Servers;
use crate::host::confine::Confinement;
use crate::live::LiveOptions;

/// What must stay open to an agent with this configuration.
#[must_use]
pub fn accessed_paths(config: &Config) -> Confinement {
    let mut files = Confinement::new();
    files.reads_file(&config.file);
    let reputation = &config.reputation;
    for database in reputation.asn_db.iter().chain(&reputation.country_db) {
        files.reads_file(database);
    }
    for OwnList { files: own, .. } in [&config.allow, &config.deny] {
        for file in own {
            files.reads_file(file);
        }
    }
    for feed in &config.feeds {
        match &feed.place {
            Place::Path(file) => files.reads_file(file),
            Place::Url(_) => files.reads_network(),
        }
        if let Some(file) = &feed.specifics.categories {
            files.reads_file(file);
        }
        if let Some(file) = &feed.ca_file {
            files.reads_file(file);
        }
        for header in &feed.headers {
            if let Secret::File(file) = &header.value {
                files.reads_file(file);
            }
        }
    }
    if let Some(crowdsec) = &config.crowdsec {
        files.reads_network();
        for file in crowdsec.files() {
            files.reads_file(file);
        }
    }
    let store = config.live.as_ref().and_then(LiveOptions::store_path);
    if let Some(folder) = store.as_deref().and_then(Path::parent) {
        files.writes_folder(folder);
    }
    if let Some(fleet) = &config.fleet {
        files.reads_network();
        let identity = fleet.identity.iter().flat_map(|(cert, key)| [cert, key]);
        for file in fleet
            .password_file
            .iter()
            .chain(&fleet.ca_file)
            .chain(identity)
        {
            files.reads_file(file);
        }
        for url in [Some(&fleet.url), fleet.read_url.as_ref()]
            .into_iter()
            .flatten()
        {
            if let Servers::Unix(socket) = &url.servers {
                files.reads_file(socket);
            }
        }
    }
    if let Some(cache) = &reputation.cache_dir {
        files.writes_folder(cache);
    }
    files
}
