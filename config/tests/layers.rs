//! Precedence of the layers, and how each value is written in each of them.

mod app;

use std::fs;

use app::{App, Flags, HttpFlags, Place, Tls};
use config::{Configuration, LogFormat, Problems, Secret, Telemetry, load};

fn with_variables(variables: &[(&str, &str)]) -> Result<App, Problems> {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    load(None, variables, &Flags::default()).map(|loaded| loaded.settings)
}

#[test]
fn defaults_alone_are_the_settings() {
    assert_eq!(with_variables(&[]).unwrap(), App::default());
}

#[test]
fn each_layer_wins_over_the_one_before_key_by_key() {
    let place = Place::new("name = 'file'\nratio = 2.0\n[http]\nport = 2\nlisten = '[::1]:2'\n");
    let variables = [("APP_NAME", "variable"), ("APP_HTTP__PORT", "3"), ("HOME", "/"), ("APPLE", "x")];
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    let flags = Flags { name: Some("flag".into()), http: HttpFlags { port: None } };
    let loaded = load::<App>(Some(&place.file), variables, &flags).unwrap();
    let mut expected = App { name: "flag".into(), ratio: 2.0, ..App::default() };
    expected.http.listen = "[::1]:2".parse().unwrap();
    expected.http.port = 3;
    assert_eq!(loaded.settings, expected);
    assert_eq!(
        loaded.origins,
        [
            "the built-in defaults".into(),
            format!("the file {}", place.file.display()),
            "the environment variable APP_HTTP__PORT".into(),
            "the environment variable APP_NAME".into(),
            "the flag --name".into(),
        ]
    );
}

/// Every kind of key takes its value from a variable, however much the text looks like something else.
#[test]
fn variables_are_read_as_their_key_wants() {
    for name in ["12345", "true", "007", "[a]", "{a}", "1e5", "a,b", "\"quoted\"", " a ", ""] {
        assert_eq!(with_variables(&[("APP_NAME", name)]).unwrap().name, name);
    }
    for token in ["12345", "true", "1.50", "007"] {
        let settings = with_variables(&[("APP_TOKEN", token)]).unwrap();
        assert_eq!(settings.token.as_ref().map(Secret::expose), Some(token));
    }
    let settings = with_variables(&[
        ("APP_DATA_DIR", "42"),
        ("APP_THREADS", " 16 "),
        ("APP_RATIO", "0.5"),
        ("APP_IS_PUBLIC", "true"),
        ("APP_PEERS", "a, b,3"),
        ("APP_LOG__FORMAT", "json"),
        ("APP_HTTP__LISTEN", "[::1]:80"),
        ("APP_HTTP__TLS__CERT", "true"),
        ("APP_OTHER_NAME", "of another program"),
        ("APP_CONFIG", "names the file"),
    ])
    .unwrap();
    let mut expected = App {
        data_dir: Some("42".into()),
        threads: Some(16),
        ratio: 0.5,
        is_public: true,
        peers: vec!["a".into(), "b".into(), "3".into()],
        log: Telemetry { format: LogFormat::Json, ..Telemetry::default() },
        ..App::default()
    };
    expected.http.listen = "[::1]:80".parse().unwrap();
    expected.http.tls = Tls { cert: Some("true".into()) };
    assert_eq!(settings, expected);
}

/// Nothing is an empty text or list, and no value where there may be none.
#[test]
fn an_empty_variable_takes_away_what_a_file_has_set() {
    let place = Place::new("name = 'a'\npeers = ['a']\ndata_dir = 'b'\nthreads = 3\ntoken = 'c'\n");
    let empty = ["APP_NAME", "APP_PEERS", "APP_DATA_DIR", "APP_THREADS", "APP_TOKEN", "APP_TOKEN_FILE"];
    let variables = empty.map(|name| (name.into(), "".into()));
    let settings = load::<App>(Some(&place.file), variables, &Flags::default()).unwrap().settings;
    assert_eq!(settings, App { name: String::new(), peers: Vec::new(), ..App::default() });
}

#[test]
fn a_file_may_come_from_another_system() {
    for text in [
        "\u{feff}name = 'x'\n",
        "name = 'x'\r\n\r\n[http]\r\nport = 1\r\n",
        "name = 'x'",
        "name = \"x\"\n[http]\n",
    ] {
        let place = Place::new(text);
        let settings = load::<App>(Some(&place.file), [], &Flags::default()).unwrap().settings;
        assert_eq!(settings, App { name: "x".into(), ..App::default() }, "{text:?}");
    }
    // An empty file is one in which nothing is set.
    let place = Place::new("");
    assert_eq!(load::<App>(Some(&place.file), [], &Flags::default()).unwrap().settings, App::default());
}

#[test]
fn a_secret_is_read_from_its_file() {
    let place = Place::new("token_file = '/nowhere'\n");
    let secret = place.secret("hunter2\n", 0o600);
    let variables = [("APP_TOKEN_FILE".into(), secret.clone().into())];
    let loaded = load::<App>(Some(&place.file), variables, &Flags::default()).unwrap();
    assert_eq!(loaded.settings.token.as_ref().map(Secret::expose), Some("hunter2"));
    assert_eq!(loaded.settings, App { token: Some(Secret::new("hunter2".into())), ..App::default() });
    let debugged = format!("{loaded:?}");
    assert!(debugged.contains("token: Some([secret])") && !debugged.contains("hunter2"), "{debugged}");
    let printed = config::Command::Print { origin: true, json: false }.run(|| Ok(loaded)).unwrap();
    let line = format!("# token = \"[secret]\" # the file {}\n", secret.display());
    assert!(printed.contains(&line) && !printed.contains("hunter2"), "{printed}");
}

#[test]
fn what_is_printed_is_read_back_as_the_same_settings() {
    let place = Place::new(
        "name = 'tab\\t \"quoted\" é'\npeers = ['a,b', '']\nthreads = 3\nratio = 3\ntoken = 'hunter2'\n",
    );
    let load_app = || load::<App>(Some(&place.file), [], &Flags::default());
    for origin in [false, true] {
        let printed = config::Command::Print { origin, json: false }.run(load_app).unwrap();
        assert!(!printed.contains("hunter2"), "{printed}");
        let again = Place::new(&printed);
        let settings = load::<App>(Some(&again.file), [], &Flags::default()).unwrap().settings;
        assert_eq!(settings, App { token: None, ..load_app().unwrap().settings }, "{printed}");
    }
    let json = config::Command::Print { origin: false, json: true }.run(load_app).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["http"]["port"], &json["token"]), (&1.into(), &"[secret]".into()));
    let json = config::Command::Print { origin: true, json: true }.run(load_app).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["http.port"], serde_json::json!({ "value": 1, "origin": "the built-in defaults" }));
    assert_eq!(json["token"]["value"], "[secret]");
}

/// The generated file says all that there is: as it stands it changes nothing, and each of its examples can be used.
#[test]
fn the_generated_file_sets_every_key_to_its_default() {
    let text = config::Command::Generate { markdown: false }.run::<App>(|| unreachable!()).unwrap();
    let place = Place::new(&text);
    assert_eq!(load::<App>(Some(&place.file), [], &Flags::default()).unwrap().settings, App::default());
    let uncommented: String = text
        .lines()
        .filter(|line| !line.starts_with("# token"))
        .map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line).to_owned() + "\n")
        .collect();
    fs::write(&place.file, &uncommented).unwrap();
    let loaded = load::<App>(Some(&place.file), [], &Flags::default()).unwrap();
    for key in loaded.reference.keys().filter(|key| !key.path.starts_with("token")) {
        let (_, name) = key.section_and_name();
        assert!(uncommented.contains(&format!("\n{name} = ")), "{name}");
        assert!(!key.meaning.is_empty(), "{name}");
    }
    assert_eq!(loaded.settings.threads, Some(4));
}

fn is_setting(text: &str) -> bool {
    text.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '))
}

#[test]
fn the_reference_says_all_about_a_key() {
    let markdown = config::Command::Generate { markdown: true }.run::<App>(|| unreachable!()).unwrap();
    for expected in [
        "## app\n",
        "#### `threads`\n\nHow many threads search. As many as there are cores.\n\n- default: none\n\
         - takes: a whole number from 1 to 64 (threads), such as `4`\n- variable: `APP_THREADS`\n",
        "#### `http.listen`\n\nWhere it listens.\n\n- default: `\"127.0.0.1:1\"`\n\
         - takes: an address with a port\n- variable: `APP_HTTP__LISTEN`\n",
        "### `[http.tls]`\n\nEncryption.\n",
        "- takes: `text` or `json`\n  - `text`: For people; in colour on a terminal.\n",
        "#### `name`\n\nWhat it is called.\n\n- default: `\"default\"`\n- takes: a text\n- variable: `APP_NAME`\n- flag: `--name`\n",
        "#### `token_file`\n",
    ] {
        assert!(markdown.contains(expected), "{expected}\nis not in\n{markdown}");
    }
    assert_eq!(App::PROGRAM, "app");
}
