//! The rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use tidy::{files, metadata, root};

/// Who may import whom. A new arrow is a decision: write it down in `docs/adr` first.
const IMPORTS: [(&str, &[&str]); 12] = [
    ("dpow-shared", &[]),
    ("dpow-config", &[]),
    ("dpow-marketplace", &["dpow-shared"]),
    ("dpow-broker", &["dpow-shared"]),
    ("dpow-bridge", &["dpow-shared", "dpow-config", "dpow-client", "dpow-worker"]),
    ("dpow-client", &["dpow-shared"]),
    ("dpow-opencl-loader", &[]),
    ("dpow-worker", &["dpow-shared", "dpow-config", "dpow-opencl-loader"]),
    (
        "dpow-coordinator",
        &["dpow-shared", "dpow-config", "dpow-marketplace", "dpow-broker", "dpow-bridge", "dpow-worker"],
    ),
    ("dpow-tests", &["dpow-shared", "dpow-client"]),
    ("dpow-benches", &["dpow-shared", "dpow-broker", "dpow-marketplace", "dpow-coordinator", "dpow-worker"]),
    ("dpow-tidy", &[]),
];

/// What the pure crates may depend on besides each other: nothing that does I/O, reads a clock or draws random numbers.
const PURE: [(&str, &[&str]); 2] = [
    ("dpow-shared", &["blake2", "data-encoding", "postcard", "serde", "serde_json", "thiserror"]),
    // `serde_json` only for the event logs of the simulator, which is behind the feature `sim`.
    ("dpow-marketplace", &["dpow-shared", "hdrhistogram", "serde", "serde_json", "thiserror"]),
];

/// Where `unsafe` is possible, each place with its reason: vector instructions, and a library of strangers.
const UNSAFE: [&str; 2] = ["dpow-worker", "dpow-opencl-loader"];

/// Packages that would need more than gcc to build, or bring a second TLS stack.
const BANNED: [&str; 6] = ["openssl-sys", "native-tls", "aws-lc-sys", "x11", "bindgen", "cmake"];

/// Licences that a program under MIT or Apache-2.0 can be distributed with.
const LICENCES: [&str; 12] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "BSL-1.0",
    "0BSD",
    "Unicode-3.0",
    "CC0-1.0",
    "MPL-2.0",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "helper", "helpers", "manager", "common", "misc", "base"];

const LINES_MAX: usize = 600;

#[test]
fn crates_import_only_what_they_may() {
    let metadata = metadata().unwrap();
    let rules = BTreeMap::from(IMPORTS);
    let ours: BTreeSet<&str> = metadata.ours().map(|package| package.name.as_str()).collect();
    let known: BTreeSet<&str> = rules.keys().copied().collect();
    assert_eq!(ours, known, "every crate has its row in IMPORTS");
    for package in metadata.ours() {
        for dependency in package.dependencies.iter().filter(|dependency| dependency.kind.is_none()) {
            let is_ours = ours.contains(dependency.name.as_str());
            let allowed = rules[package.name.as_str()].contains(&dependency.name.as_str());
            assert!(!is_ours || allowed, "{} must not import {}", package.name, dependency.name);
        }
    }
}

#[test]
fn the_pure_crates_depend_on_nothing_that_does_io() {
    let metadata = metadata().unwrap();
    for (name, allowed) in PURE {
        let package = metadata.ours().find(|package| package.name == name).expect("it is ours");
        for dependency in package.dependencies.iter().filter(|dependency| dependency.kind.is_none()) {
            assert!(
                allowed.contains(&dependency.name.as_str()),
                "{name} must not depend on {}",
                dependency.name
            );
        }
    }
}

/// The worker's library is embedded by the coordinator, which has a configuration of its own.
#[test]
fn only_the_workers_program_reads_configuration() {
    for file in files(&root().join("worker/src"), "rs").unwrap() {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        let imports = text.contains("use config::") || text.contains("config::load");
        assert!(
            !imports || ["main.rs", "cli.rs", "configuration.rs"].contains(&name.as_str()),
            "{name} imports `config`"
        );
    }
}

/// Clippy takes the nearest file only, so the bans of both pure crates have to be kept equal by hand.
#[test]
fn the_pure_crates_ban_the_same_things() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let (shared, marketplace) = (read("shared/clippy.toml"), read("marketplace/clippy.toml"));
    assert_eq!(shared, marketplace);
    for banned in [
        "Instant::now",
        "Instant::elapsed",
        "SystemTime::now",
        "SystemTime::elapsed",
        "HashMap",
        "RandomState",
    ] {
        assert!(shared.contains(banned), "{banned} is banned");
    }
    for line in read("clippy.toml").lines() {
        assert!(
            shared.contains(line),
            "`{line}` of the root's clippy.toml stands in the nearer ones as well"
        );
    }
}

#[test]
fn unsafe_code_is_possible_only_where_it_is_needed() {
    for (name, _) in IMPORTS {
        let folder = name.trim_start_matches("dpow-");
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        if UNSAFE.contains(&name) {
            assert!(manifest.contains("unsafe_code = \"deny\""), "{name} denies it outside those places");
        } else {
            assert!(manifest.contains("[lints]\nworkspace = true"), "{name} takes the workspace's lints");
        }
    }
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(workspace.contains("unsafe_code = \"forbid\""));
}

#[test]
fn dependencies_come_from_the_registry_under_licences_that_fit() {
    let metadata = metadata().unwrap();
    let licensees: Vec<spdx::Licensee> = LICENCES
        .into_iter()
        .map(|licence| spdx::Licensee::parse(licence).expect("an SPDX licence"))
        .collect();
    let mut checked = 0;
    for package in
        metadata.packages.iter().filter(|package| !metadata.workspace_members.contains(&package.id))
    {
        let source = package.source.as_deref().unwrap_or("a folder");
        assert!(source.starts_with("registry+"), "{} comes from {source}", package.name);
        let licence = package.license.as_deref().expect("a licence");
        let expression =
            spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX).expect("an SPDX expression");
        let fits = expression.evaluate(|wanted| licensees.iter().any(|licensee| licensee.satisfies(wanted)));
        assert!(fits, "{} is under {licence}", package.name);
        assert!(!BANNED.contains(&package.name.as_str()), "{} is banned", package.name);
        checked += 1;
    }
    assert!(checked > 100, "only {checked} dependencies were looked at");
}

#[test]
fn files_are_short_and_their_names_mean_something() {
    let mut checked = 0;
    for file in files(&root(), "rs").unwrap() {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines, at most {LINES_MAX} are wanted", file.display());
        for part in file.strip_prefix(root()).unwrap().iter().filter_map(|part| part.to_str()) {
            let name = part.trim_end_matches(".rs");
            assert!(!EMPTY_NAMES.contains(&name), "{} says nothing about what is inside", file.display());
        }
        checked += 1;
    }
    assert!(checked > 50, "only {checked} files were looked at");
}

/// A document of a merge that was not finished is read by people as if it were whole.
#[test]
fn no_merge_is_left_unfinished() {
    let mut checked = 0;
    for extension in ["rs", "md", "toml", "sql", "py", "cjs", "json"] {
        for file in files(&root(), extension).unwrap() {
            let text = fs::read_to_string(&file).unwrap();
            let marker =
                text.lines().find(|line| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> "));
            assert_eq!(marker, None, "{} has the marks of a merge", file.display());
            checked += 1;
        }
    }
    assert!(checked > 80, "only {checked} files were looked at");
}
