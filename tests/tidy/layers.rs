//! What the compiler cannot enforce of the layers in ARCHITECTURE.md: the order of modules within a
//! crate, and which crates know no socket, clock or thread.

use crate::paths::paths;

/// Rules for the files of one directory. The first row that matches a path decides.
struct Layer {
    directory: &'static str,
    /// Modules of its crate that it must not use.
    above: &'static [&'static str],
    /// The only paths of the standard library that it may use; `None`: all.
    standard: Option<&'static [&'static str]>,
}

const LAYERS: [Layer; 12] = [
    Layer {
        directory: "crates/haproxy-spop/src/session",
        above: &[],
        standard: Some(&[]),
    },
    Layer {
        directory: "crates/haproxy-spop/src",
        above: &["session"],
        standard: Some(&[]),
    },
    Layer {
        directory: "crates/ip-reputation/src",
        above: &[],
        standard: Some(&[
            "std::collections",
            "std::borrow::Cow",
            "std::io",
            "std::sync::Arc",
        ]),
    },
    Layer {
        directory: "src/policy",
        above: &["admin", "config", "crowdsec", "feeds", "host"],
        standard: None,
    },
    Layer {
        directory: "src/crowdsec",
        above: &["admin", "config"],
        standard: None,
    },
    Layer {
        directory: "src/live",
        above: &["admin", "config", "crowdsec", "feeds", "policy"],
        standard: None,
    },
    Layer {
        directory: "src/host",
        above: &["admin", "config", "crowdsec", "feeds", "live", "policy"],
        standard: None,
    },
    Layer {
        directory: "src/haproxy_config",
        above: &["admin", "crowdsec", "feeds", "fleet"],
        standard: None,
    },
    Layer {
        directory: "src/config",
        above: &["admin"],
        standard: None,
    },
    Layer {
        directory: "src/feeds",
        above: &["admin"],
        standard: None,
    },
    Layer {
        directory: "src/cli",
        above: &["main"],
        standard: None,
    },
    Layer {
        directory: "",
        above: &[],
        standard: None,
    },
];

/// What a source file uses and should not.
pub(crate) fn violations(path: &str, code: &str) -> Vec<String> {
    let is_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
    if is_root {
        return Vec::new();
    }
    let inner = path.split_once("src/").map_or("", |(_, inner)| inner);
    let depth = inner
        .trim_end_matches(".rs")
        .split('/')
        .filter(|part| *part != "mod")
        .count();
    let matches = |layer: &&Layer| path.starts_with(layer.directory);
    let layer = LAYERS.iter().find(matches);
    let uses = paths(code).into_iter().filter_map(|(line, name)| {
        let what = layer?.refuses(&name, depth)?;
        Some(format!("{path}:{line} must not use {what} ({name})"))
    });
    uses.collect()
}

impl Layer {
    /// The module or the part of the standard library that a path leads to, if it must not be used.
    fn refuses(&self, name: &str, depth: usize) -> Option<String> {
        let segments: Vec<_> = name.split("::").collect();
        let ups = segments
            .iter()
            .take_while(|segment| **segment == "super")
            .count();
        let target = match segments[0] {
            "crate" | "iprep_spoa" => segments.get(1),
            "super" if ups >= depth => segments.get(ups),
            "std" => {
                let allowed = self.standard?;
                let is_allowed = allowed.iter().any(|prefix| is_within(name, prefix));
                return (!is_allowed).then(|| "std".to_owned());
            }
            _ => None,
        }?;
        self.above.contains(target).then(|| (*target).to_owned())
    }
}

fn is_within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
