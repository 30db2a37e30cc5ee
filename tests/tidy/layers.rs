//! The layers of ARCHITECTURE.md: what each may use of the others, and of the world.

use crate::paths::paths;

/// A layer: the other layers that it may use, and what it may use from outside.
struct Layer {
    name: &'static str,
    below: &'static [&'static str],
    outside: &'static [&'static str],
}

/// Everything from outside.
const ANY: &[&str] = &[""];

/// From the bottom up. `core` holds neither a socket, a thread nor a clock that runs.
const LAYERS: [Layer; 10] = [
    Layer {
        name: "reputation",
        below: &[],
        outside: &[
            "core",
            "std::collections",
            "std::borrow::Cow",
            "std::io",
            "std::sync::Arc",
            "jiff",
            "maxminddb",
            "memchr",
            "memmap2",
            "rand",
            "regex_automata",
            "serde",
            "serde_json",
        ],
    },
    Layer {
        name: "spop",
        below: &[],
        outside: &["core", "bytes"],
    },
    Layer {
        name: "handler",
        below: &["spop"],
        outside: &["core"],
    },
    Layer {
        name: "session",
        below: &["handler", "spop"],
        outside: &["core", "bytes"],
    },
    Layer {
        name: "iprep",
        below: &["handler", "spop", "reputation"],
        outside: &["core", "std::collections", "std::sync::Arc", "arc_swap"],
    },
    Layer {
        name: "agent",
        below: &["session", "handler", "spop"],
        outside: ANY,
    },
    Layer {
        name: "host",
        below: &["agent"],
        outside: ANY,
    },
    Layer {
        name: "control",
        below: LIBRARY,
        outside: ANY,
    },
    Layer {
        name: "cli",
        below: &[
            "control",
            "host",
            "agent",
            "iprep",
            "session",
            "handler",
            "spop",
            "reputation",
        ],
        outside: ANY,
    },
    Layer {
        name: "main",
        below: &["cli", "control"],
        outside: ANY,
    },
];

const LIBRARY: &[&str] = &[
    "host",
    "agent",
    "iprep",
    "session",
    "handler",
    "spop",
    "reputation",
];

/// The standard library, and every crate that the project depends on.
const CRATES: [&str; 37] = [
    "core",
    "alloc",
    "std",
    "arc_swap",
    "bytes",
    "clap",
    "clap_complete",
    "clap_mangen",
    "core_affinity",
    "flate2",
    "hdrhistogram",
    "hyper",
    "hyper_util",
    "jiff",
    "landlock",
    "libc",
    "listenfd",
    "maxminddb",
    "memchr",
    "memmap2",
    "mio",
    "nix",
    "rand",
    "regex_automata",
    "rustix",
    "rustls",
    "sd_notify",
    "serde",
    "serde_json",
    "signal_hook",
    "slab",
    "socket2",
    "thread_priority",
    "tokio",
    "toml",
    "tracing",
    "ureq",
];

/// What is re-exported at the root of the library, and from where.
const ROOT: [(&str, &str); 2] = [("Agent", "agent"), ("Handler", "handler")];

/// What a file under `src` uses and should not.
pub(crate) fn violations(path: &str, code: &str) -> Vec<String> {
    let parts: Vec<_> = path
        .trim_start_matches("src/")
        .trim_end_matches(".rs")
        .split('/')
        .collect();
    if parts == ["lib"] {
        return Vec::new();
    }
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == parts[0]) else {
        return vec![format!(
            "{path}:1 belongs to no layer; tests/tidy/layers.rs has the table"
        )];
    };
    let depth = parts
        .iter()
        .filter(|part| !["mod", "main"].contains(part))
        .count();
    let uses = paths(code).into_iter().filter_map(|(line, name)| {
        let what = layer.refuses(&name, depth)?;
        Some(format!("{path}:{line} {} uses {what} ({name})", layer.name))
    });
    uses.collect()
}

impl Layer {
    /// The layer or the outside thing that a path leads to, if it is one that must not be used.
    fn refuses(&self, name: &str, depth: usize) -> Option<String> {
        let segments: Vec<_> = name.split("::").collect();
        let ups = segments
            .iter()
            .take_while(|segment| **segment == "super")
            .count();
        let target = match segments[0] {
            "crate" | "spoa" => segments.get(1),
            "super" if ups >= depth => segments.get(ups),
            first if CRATES.contains(&first) => {
                let allowed = |prefix: &str| prefix.is_empty() || is_within(name, prefix);
                return (!self.outside.iter().any(|prefix| allowed(prefix)))
                    .then(|| first.to_owned());
            }
            _ => return None,
        }?;
        let root = ROOT.iter().find(|(item, _)| item == target);
        let target = root.map_or(*target, |(_, layer)| layer);
        (target != self.name && !self.below.contains(&target)).then(|| target.to_owned())
    }
}

fn is_within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The tables above are those of the project: its dependencies, its re-exports, and an order in which
/// every layer comes after what it uses.
pub(crate) fn tables_are_true(manifest: &str, library: &str) -> Vec<String> {
    let mut found = Vec::new();
    let dependencies = manifest
        .split("[dependencies]\n")
        .nth(1)
        .unwrap_or_default();
    let names = dependencies
        .lines()
        .take_while(|line| !line.starts_with('['));
    let names = names.filter_map(|line| line.split_once('=').map(|(name, _)| name.trim()));
    for name in names.map(|name| name.replace('-', "_")) {
        if !CRATES.contains(&name.as_str()) {
            found.push(format!(
                "tests/tidy/layers.rs:1 does not know the crate {name}"
            ));
        }
    }
    for (_, export) in paths(&crate::paths::code(library)) {
        let known = ROOT
            .iter()
            .any(|(item, layer)| export == format!("{layer}::{item}"));
        if !known {
            found.push(format!(
                "tests/tidy/layers.rs:1 does not know the re-export {export}"
            ));
        }
    }
    for (place, layer) in LAYERS.iter().enumerate() {
        let is_below = |name: &&&str| LAYERS[..place].iter().any(|lower| lower.name == **name);
        for name in layer.below.iter().filter(|name| !is_below(name)) {
            found.push(format!(
                "tests/tidy/layers.rs:1 has {name} above {}",
                layer.name
            ));
        }
    }
    found
}
