//! Precedence of the layers, and the sentences for everything that can be wrong in them.
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use config::{ConfigError, LogFormat, Sources, Telemetry, load};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    name: String,
    data_dir: Option<PathBuf>,
    threads: Option<u16>,
    ratio: f64,
    is_public: bool,
    peers: Vec<String>,
    log: Telemetry,
    http: Http,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    listen: SocketAddr,
    port: u16,
}

#[derive(Debug, Default, Serialize)]
struct Flags {
    name: Option<String>,
    http: HttpFlags,
}

#[derive(Debug, Default, Serialize)]
struct HttpFlags {
    port: Option<u16>,
}

fn defaults() -> Settings {
    Settings {
        name: "default".into(),
        data_dir: None,
        threads: None,
        ratio: 1.0,
        is_public: false,
        peers: vec!["one".into()],
        log: Telemetry::default(),
        http: Http { listen: "127.0.0.1:1".parse().unwrap(), port: 1 },
    }
}

fn sources() -> Sources {
    Sources::new(&defaults()).unwrap()
}

fn with_variables(variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    load(&sources().environment("APP", &["APP_OTHER"], variables)?)
}

fn with_file(text: &str) -> (PathBuf, Result<Settings, ConfigError>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.toml");
    fs::write(&path, text).unwrap();
    let loaded = sources().file(&path).and_then(|sources| load(&sources));
    (path, loaded)
}

#[test]
fn defaults_alone_are_the_settings() {
    assert_eq!(load::<Settings>(&sources()).unwrap(), defaults());
}

#[test]
fn each_layer_wins_over_the_one_before_key_by_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.toml");
    fs::write(&path, "name = 'file'\nratio = 2.0\n[http]\nport = 2\nlisten = '[::1]:2'\n").unwrap();
    let variables = [("APP_NAME", "variable"), ("APP_HTTP__PORT", "3"), ("HOME", "/"), ("APPLE", "x")];
    let sources = sources()
        .file(&path)
        .unwrap()
        .environment("APP", &[], variables.map(|(name, value)| (name.into(), value.into())))
        .unwrap()
        .flags(&Flags { name: Some("flag".into()), http: HttpFlags { port: None } })
        .unwrap();
    let settings: Settings = load(&sources).unwrap();
    assert_eq!(settings.name, "flag");
    assert_eq!(settings.http, Http { listen: "[::1]:2".parse().unwrap(), port: 3 });
    assert_eq!(
        settings,
        Settings { name: settings.name.clone(), ratio: 2.0, http: settings.http.clone(), ..defaults() }
    );
}

/// Every kind of field takes its value from a variable, however much the text looks like something else.
#[test]
fn variables_are_read_as_their_key_wants() {
    for name in ["12345", "true", "007", "[a]", "{a}", "1e5", "a,b", "\"quoted\"", ""] {
        assert_eq!(with_variables(&[("APP_NAME", name)]).unwrap().name, name);
    }
    let settings = with_variables(&[
        ("APP_DATA_DIR", "42"),
        ("APP_THREADS", "16"),
        ("APP_RATIO", "0.5"),
        ("APP_IS_PUBLIC", "true"),
        ("APP_PEERS", "a, b,3"),
        ("APP_LOG__FORMAT", "json"),
        ("APP_HTTP__LISTEN", "[::1]:80"),
        ("APP_OTHER_NAME", "of another program"),
    ])
    .unwrap();
    let expected = Settings {
        data_dir: Some("42".into()),
        threads: Some(16),
        ratio: 0.5,
        is_public: true,
        peers: vec!["a".into(), "b".into(), "3".into()],
        log: Telemetry { format: LogFormat::Json, ..Telemetry::default() },
        http: Http { listen: "[::1]:80".parse().unwrap(), port: 1 },
        ..defaults()
    };
    assert_eq!(settings, expected);
    assert_eq!(with_variables(&[("APP_PEERS", "")]).unwrap().peers, Vec::<String>::new());
}

#[test]
fn what_is_wrong_in_a_variable_is_said_in_one_sentence() {
    for (variable, value, sentence) in [
        (
            "APP_NAEM",
            "x",
            "unknown key `naem` in the environment variable APP_NAEM: expected `name`, `data_dir`, `threads`, `ratio`, \
             `is_public`, `peers`, `log` or `http`",
        ),
        (
            "APP_HTTP__PROT",
            "1",
            "unknown key `http.prot` in the environment variable APP_HTTP__PROT: expected `listen` or `port`",
        ),
        (
            "APP_HTTP__PORT",
            "abc",
            "`http.port` in the environment variable APP_HTTP__PORT: invalid type: found string \"abc\", expected u16",
        ),
        (
            "APP_LOG__FORMAT",
            "xml",
            "`log.format` in the environment variable APP_LOG__FORMAT: found `xml`, expected `text` or \
             `json`",
        ),
        (
            "APP_HTTP",
            "1",
            "`http` in the environment variable APP_HTTP: invalid type: found string \"1\", expected struct Http",
        ),
    ] {
        assert_eq!(with_variables(&[(variable, value)]).unwrap_err().to_string(), sentence);
    }
}

#[test]
fn what_is_wrong_in_a_file_names_the_file() {
    let (path, loaded) = with_file("[http]\nport = 70000\n");
    let sentence = loaded.unwrap_err().to_string();
    assert!(sentence.starts_with(&format!("`http.port` in the file {}: ", path.display())), "{sentence}");

    let (path, loaded) = with_file("name = 'x'\nprot = 1\n");
    let sentence = loaded.unwrap_err().to_string();
    assert!(
        sentence.starts_with(&format!("unknown key `prot` in the file {}: ", path.display())),
        "{sentence}"
    );

    let (path, loaded) = with_file("name = 'x'\nport == 1\n");
    let sentence = loaded.unwrap_err().to_string();
    assert!(
        sentence.starts_with(&format!("the configuration file {} is not TOML: ", path.display())),
        "{sentence}"
    );
    assert!(sentence.contains("line 2, column 7") && !sentence.contains('\n'), "{sentence}");
}

#[test]
fn a_file_that_is_named_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let error = sources().file(&folder.path().join("none.toml")).unwrap_err();
    assert!(matches!(error, ConfigError::File { .. }), "{error}");
}

#[test]
fn a_key_without_a_default_must_be_given() {
    #[derive(Debug, Deserialize)]
    struct Needed {
        #[expect(dead_code, reason = "only its absence is of interest")]
        http: Address,
    }
    #[derive(Debug, Deserialize)]
    struct Address {
        #[expect(dead_code, reason = "only its absence is of interest")]
        host: String,
    }
    let error = load::<Needed>(&sources()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`http.host` is not set: give it as a flag, in the environment or in the configuration file"
    );
}

#[cfg(unix)]
#[test]
fn a_value_that_is_no_text_is_refused_only_if_it_is_ours() {
    use std::os::unix::ffi::OsStringExt;

    let variables = |name: &str| [(OsString::from(name), OsString::from_vec(vec![0xff]))];
    assert!(sources().environment("APP", &[], variables("OTHER")).is_ok());
    let error = sources().environment("APP", &[], variables("APP_NAME")).unwrap_err();
    assert_eq!(error.to_string(), "the environment variable APP_NAME is not valid UTF-8");
}
