//! What the configuration file says and no flag does.

use clap::ArgMatches;
use clap::parser::ValueSource;
use iprep_spoa::config::{AdminKeys, AgentOptions, Config};

use super::Args;

/// An option, and where in the configuration file its value is.
pub(in crate::cli) type Origin = (String, String);

impl Args {
    /// Returns the options that come from the configuration file, such as `--bind`, each with its file,
    /// line and key. To be called before [`complete`](Self::complete).
    pub(in crate::cli) fn origins(given: &ArgMatches, config: &Config) -> Vec<Origin> {
        let lines = config.lines.iter();
        let origins = lines.filter_map(|(path, line)| {
            let (section, key) = path.split_once('.')?;
            let (option, id) = match (section, key) {
                ("admin", "bind") => ("--admin".to_owned(), "admin".to_owned()),
                ("admin", "token-file") => ("--admin-token".to_owned(), "admin_token".to_owned()),
                ("agent", _) => (format!("--{key}"), key.replace('-', "_")),
                _ => return None,
            };
            let place = format!("{}:{line}: {key}", config.file.display());
            let is_given = given.value_source(&id) == Some(ValueSource::CommandLine);
            (!is_given).then_some((option, place))
        });
        origins.collect()
    }

    /// Takes from a configuration file what was not given on the command line.
    pub(in crate::cli) fn complete(&mut self, given: &ArgMatches, file: AgentOptions) {
        let take = |name: &str| given.value_source(name) != Some(ValueSource::CommandLine);
        self.is_bound = file.bind.is_some() || !take("bind");
        set(&mut self.bind, file.bind, take("bind"));
        set(&mut self.workers, file.workers, take("workers"));
        set(&mut self.unix_mode, file.unix_mode, take("unix_mode"));
        set(
            &mut self.max_frame_size,
            file.max_frame_size,
            take("max_frame_size"),
        );
        set(
            &mut self.max_reassembly,
            file.max_reassembly,
            take("max_reassembly"),
        );
        set(
            &mut self.hello_timeout,
            file.hello_timeout,
            take("hello_timeout"),
        );
        set(
            &mut self.idle_timeout,
            file.idle_timeout,
            take("idle_timeout"),
        );
        set(
            &mut self.write_timeout,
            file.write_timeout,
            take("write_timeout"),
        );
        set(&mut self.busy_poll, file.busy_poll, take("busy_poll"));
        set(
            &mut self.slow_threshold,
            file.slow_threshold,
            take("slow_threshold"),
        );
        set(
            &mut self.drain_timeout,
            file.drain_timeout,
            take("drain_timeout"),
        );
        set(&mut self.takeover, file.takeover, take("takeover"));
        set(&mut self.confine, file.confine, take("confine"));
        set(&mut self.log_level, file.log_level, take("log_level"));
        set(&mut self.log_format, file.log_format, take("log_format"));
        self.user = self.user.take().or(file.user);
        self.cores = self.cores.take().or(file.cores);
        self.max_connections = self.max_connections.or(file.max_connections);
        self.max_connections_per_source = self
            .max_connections_per_source
            .or(file.max_connections_per_source);
    }

    /// Takes what the file says about the admin endpoint and no flag does.
    pub(in crate::cli) fn complete_admin(&mut self, file: AdminKeys) {
        self.admin = self.admin.take().or(file.bind);
        self.admin_token = self.admin_token.take().or(file.token_file);
        self.admin_mode = file.unix_mode;
    }
}

/// Replaces a value, if there is another one and that may be used.
fn set<T>(to: &mut T, from: Option<T>, may: bool) {
    if let Some(value) = from.filter(|_| may) {
        *to = value;
    }
}
