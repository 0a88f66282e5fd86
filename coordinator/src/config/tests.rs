//! What settings are taken and refused, and that every key is documented.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use config::{Command, Problems, Reference, load};

use marketplace::dispatch::DispatchPolicy;

use super::*;
use crate::cli::Cli;

fn with_variables(variables: &[(&str, &str)]) -> Result<Settings, Problems> {
    let variables = variables.iter().map(|(key, value)| (OsString::from(key), OsString::from(value)));
    load(None, variables, &serde_json::json!({})).map(|loaded| loaded.settings)
}

#[test]
fn the_defaults_are_complete_and_the_environment_wins() {
    assert_eq!(with_variables(&[]).unwrap(), Settings::default());
    let settings = with_variables(&[
        ("DPOW_NETWORK", "dev"),
        ("DPOW_DATA_DIR", "12345"),
        ("DPOW_OPERATOR_TOKEN", "12345678901234567890123456"),
        ("DPOW_HTTP__LISTEN", "127.0.0.1:6000"),
        ("DPOW_MQTT__LISTEN_WEBSOCKET", "127.0.0.1:6001"),
        ("DPOW_MQTT__TRUSTED_PREFIXES", "10.1.0.0/16, ::1/128"),
        ("DPOW_ADMIN__LISTEN", "127.0.0.1:6002"),
        ("DPOW_DISPATCH__POLICY", "adaptive"),
        ("DPOW_DISPATCH__K", "3"),
        ("DPOW_DISPATCH__FAIRNESS", "20"),
        ("DPOW_LEDGER__AUDIT_INTERVAL_S", "0"),
        ("DPOW_WORKER_THREADS", "not ours"),
        ("DPOW_CONFIG", "not a key"),
    ])
    .unwrap();
    assert_eq!((settings.network, settings.http.listen.port()), (Network::Dev, 6000));
    assert_eq!(settings.mqtt.listen_websocket.map(|address| address.port()), Some(6001));
    assert_eq!(settings.admin.listen.map(|address| address.port()), Some(6002));
    assert_eq!(
        settings.mqtt.trusted_prefixes,
        ["10.1.0.0/16", "::1/128"].map(|prefix| prefix.parse().unwrap())
    );
    assert_eq!(settings.data_dir, Path::new("12345"));
    assert_eq!(settings.operator_token.as_ref().map(Secret::expose), Some("12345678901234567890123456"));
    let hour = Duration::from_hours(1);
    assert_eq!((settings.audit_interval(), Settings::default().audit_interval()), (None, Some(hour)));
    assert_eq!(settings.policy().unwrap().dispatch, DispatchPolicy::Adaptive { fairness: 20 });
}

#[test]
fn what_breaks_a_rule_is_named_with_its_origin() {
    let variable = "the environment variable";
    for (variables, sentence) in [
        (
            &[("DPOW_HTTP__LISTEN", "127.0.0.1:1883")][..],
            format!(
                "`http.listen` is 127.0.0.1:1883 and `mqtt.listen` is 127.0.0.1:1883: give each a port of its own \
                 (`http.listen`: {variable} DPOW_HTTP__LISTEN, `mqtt.listen`: the built-in defaults)"
            ),
        ),
        (
            &[("DPOW_MQTT__LISTEN_WEBSOCKET", "0.0.0.0:5030")],
            format!(
                "`http.listen` is 127.0.0.1:5030 and `mqtt.listen_websocket` is 0.0.0.0:5030: give each a port of its own \
                 (`http.listen`: the built-in defaults, `mqtt.listen_websocket`: {variable} DPOW_MQTT__LISTEN_WEBSOCKET)"
            ),
        ),
        (
            &[("DPOW_LIMITS__MULTIPLIER_MAX", "0")],
            format!(
                "`limits.multiplier_max` is 0: it must be a finite number greater than 0 \
                 (`limits.multiplier_max`: {variable} DPOW_LIMITS__MULTIPLIER_MAX)"
            ),
        ),
        (
            &[("DPOW_LIMITS__MULTIPLIER_MAX", "inf")],
            format!(
                "`limits.multiplier_max` is inf: it must be a finite number greater than 0 \
                 (`limits.multiplier_max`: {variable} DPOW_LIMITS__MULTIPLIER_MAX)"
            ),
        ),
        (
            &[("DPOW_DATA_DIR", "")],
            format!("`data_dir` is empty: name a directory (`data_dir`: {variable} DPOW_DATA_DIR)"),
        ),
        (
            &[("DPOW_OPERATOR_TOKEN", "too-short-by-one-letter-x")],
            format!(
                "`operator_token` must have at least 26 characters from `!` to `~`: `openssl rand -hex 32` makes a good \
                 one (`operator_token`: {variable} DPOW_OPERATOR_TOKEN)"
            ),
        ),
    ] {
        assert_eq!(with_variables(variables).unwrap_err().to_string(), sentence);
    }
}

#[test]
fn what_a_key_cannot_take_is_named_with_its_origin() {
    let variable = "the environment variable";
    for (variables, sentence) in [
        (
            &[("DPOW_SHUTDOWN_GRACE_S", "601")][..],
            format!(
                "`shutdown_grace_s` in {variable} DPOW_SHUTDOWN_GRACE_S is 601, but must be a whole number from 0 to 600 \
                 (seconds)"
            ),
        ),
        (
            // The default that stands in for the wrong value collides, which is nobody's mistake.
            &[("DPOW_HTTP__LISTEN", "x"), ("DPOW_MQTT__LISTEN", "127.0.0.1:5030")],
            format!(
                "`http.listen` in {variable} DPOW_HTTP__LISTEN is \"x\", but must be an address with a port, such as \
                 127.0.0.1:5030"
            ),
        ),
        (
            &[("DPOW_DISPATCH__K", "0")],
            format!(
                "`dispatch.k` in {variable} DPOW_DISPATCH__K is 0, but must be a whole number from 1 (workers)"
            ),
        ),
        (
            &[("DPOW_MQTT__TRUSTED_PREFIXES", "10.1.0.0/33")],
            format!(
                "`mqtt.trusted_prefixes` in {variable} DPOW_MQTT__TRUSTED_PREFIXES is [\"10.1.0.0/33\"], but must be a list \
                 of addresses, each with `/` and its number of bits, such as [\"10.0.0.0/8\"]"
            ),
        ),
    ] {
        assert_eq!(with_variables(variables).unwrap_err().to_string(), sentence);
    }
}

#[test]
fn what_is_fine_is_taken() {
    for fine in [
        &[("DPOW_HTTP__LISTEN", "127.0.0.1:0"), ("DPOW_MQTT__LISTEN", "127.0.0.1:0")][..],
        &[("DPOW_HTTP__LISTEN", "127.0.0.2:1883")],
        &[("DPOW_OPERATOR_TOKEN", "twenty-six-characters-long")],
        &[("DPOW_SHUTDOWN_GRACE_S", "600")],
    ] {
        assert!(with_variables(fine).is_ok(), "{fine:?}");
    }
}

/// The file in `deploy` is what the program prints, and as it stands it changes nothing.
#[test]
fn the_file_in_deploy_says_all_the_defaults() {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/dpow.toml"));
    let generated = Command::Generate { markdown: false }.run::<Settings>(|| unreachable!()).unwrap();
    assert_eq!(fs::read_to_string(file).unwrap(), generated, "see CONTRIBUTING.md for how it is made anew");
    let loaded = load::<Settings>(Some(file), [], &serde_json::json!({})).unwrap();
    assert_eq!(loaded.settings, Settings::default());
}

#[test]
fn every_key_is_documented_and_every_flag_is_there() {
    let reference = Reference::of::<Settings>().unwrap();
    let command = Cli::command();
    for key in reference.keys() {
        assert!(!key.meaning.is_empty(), "{} says what it does", key.path);
        let is_number = matches!(key.form, config::reference::Form::Number { .. });
        assert_eq!(key.unit.is_some(), is_number, "{} says what it counts", key.path);
        let variable = reference.variable(&key.path);
        let is_anothers =
            Settings::OTHER_PREFIXES.iter().any(|prefix| variable.starts_with(&format!("{prefix}_")));
        assert!(!is_anothers, "{variable} would be taken for another program's");
        let Some(flag) = &key.flag else { continue };
        let argument =
            command.get_arguments().find(|argument| argument.get_long() == flag.strip_prefix("--"));
        let help = argument.and_then(clap::Arg::get_help).unwrap().to_string();
        let default = serde_json::to_value(&key.default).unwrap();
        assert!(
            help.ends_with(&format!("{}]", default.as_str().unwrap())),
            "{flag} says its default: {help}"
        );
    }
    let network = reference.keys().find(|key| key.path == "network").unwrap().expected();
    let names = network.split('`').skip(1).step_by(2).collect::<Vec<_>>();
    assert_eq!(names, Network::ALL.map(Network::name));
}
