//! The sentence for everything that can be wrong, and that all of them are said at once.
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

mod app;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use app::{App, Flags, Place};
use config::{Problems, load};
use serde::Serialize;

fn sentences(
    file: Option<&Path>,
    variables: Vec<(OsString, OsString)>,
    flags: &impl Serialize,
) -> Vec<String> {
    let problems: Problems = load::<App>(file, variables, flags).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

fn of_variables(variables: &[(&str, &str)]) -> Vec<String> {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    sentences(None, variables, &Flags::default())
}

/// What is said about a file, with `FILE` in place of its path.
fn of_file(text: impl AsRef<[u8]>) -> Vec<String> {
    let place = Place::new(text);
    let said = sentences(Some(&place.file), Vec::new(), &Flags::default());
    said.into_iter().map(|sentence| sentence.replace(&*place.file.to_string_lossy(), "FILE")).collect()
}

/// Variable, value, and what is said.
const IN_VARIABLES: &[(&str, &str, &str)] = &[
    ("APP_NAEM", "x", "unknown key `naem` in the environment variable APP_NAEM: did you mean APP_NAME?"),
    (
        "APP_HTTP_LISTEN",
        "x",
        "unknown key `http_listen` in the environment variable APP_HTTP_LISTEN: did you mean APP_HTTP__LISTEN?",
    ),
    (
        "APP_LISTEN",
        "x",
        "unknown key `listen` in the environment variable APP_LISTEN: did you mean APP_HTTP__LISTEN?",
    ),
    (
        "APP_HTTP__ADDRESS",
        "x",
        "unknown key `http.address` in the environment variable APP_HTTP__ADDRESS: the section `http` has `listen` and \
             `port`",
    ),
    (
        "APP_COLOUR",
        "x",
        "unknown key `colour` in the environment variable APP_COLOUR: `app config generate` prints all that there are",
    ),
    ("APP_name", "x", "unknown key `name` in the environment variable APP_name: did you mean APP_NAME?"),
    (
        "APP_HTTP.PORT",
        "1",
        "unknown key `http.port` in the environment variable APP_HTTP.PORT: did you mean APP_HTTP__PORT?",
    ),
    (
        "APP_",
        "x",
        "unknown key `` in the environment variable APP_: `app config generate` prints all that there are",
    ),
    (
        "APP_HTTP",
        "1",
        "`http` in the environment variable APP_HTTP is a section with keys of its own, such as `http.listen`",
    ),
    (
        "APP_NAME__FIRST",
        "x",
        "`name` in the environment variable APP_NAME__FIRST is one value and has no keys below it",
    ),
    (
        "APP_HTTP__PORT",
        "abc",
        "`http.port` in the environment variable APP_HTTP__PORT is \"abc\", but must be a whole number from 0 to 65535",
    ),
    (
        "APP_HTTP__PORT",
        "",
        "`http.port` in the environment variable APP_HTTP__PORT is \"\", but must be a whole number from 0 to 65535",
    ),
    (
        "APP_HTTP__PORT",
        "-1",
        "`http.port` in the environment variable APP_HTTP__PORT is -1, but must be a whole number from 0 to 65535",
    ),
    (
        "APP_THREADS",
        "65",
        "`threads` in the environment variable APP_THREADS is 65, but must be a whole number from 1 to 64 (threads)",
    ),
    (
        "APP_THREADS",
        "99999999999999999999",
        "`threads` in the environment variable APP_THREADS is \"99999999999999999999\", but must be a whole number from 1 to 64 \
             (threads)",
    ),
    ("APP_RATIO", "1,5", "`ratio` in the environment variable APP_RATIO is \"1,5\", but must be a number"),
    (
        "APP_IS_PUBLIC",
        "yes",
        "`is_public` in the environment variable APP_IS_PUBLIC is \"yes\", but must be `true` or `false`",
    ),
    (
        "APP_LOG__FORMAT",
        "xml",
        "`log.format` in the environment variable APP_LOG__FORMAT is \"xml\", but must be `text` or `json`",
    ),
    (
        "APP_HTTP__LISTEN",
        "localhost",
        "`http.listen` in the environment variable APP_HTTP__LISTEN is \"localhost\", but must be an address with a port",
    ),
    (
        "APP_TOKEN",
        "[secret]",
        "`token` in the environment variable APP_TOKEN must be a text in quotes, and not `[secret]`",
    ),
    (
        "APP_TOKEN_FILE",
        "/nowhere",
        "the file /nowhere that `token_file` in the environment variable APP_TOKEN_FILE names cannot be read (No such file \
             or directory (os error 2)): check that it is there and yours",
    ),
    (
        "APP_LOG__FILTER",
        "a=loud",
        "`log.filter`: `a=loud` is not a log filter: use a level such as `info`, or directives such as `warn,worker=debug` \
             (`log.filter`: the environment variable APP_LOG__FILTER)",
    ),
];

#[test]
fn what_is_wrong_in_a_variable() {
    for &(variable, value, sentence) in IN_VARIABLES {
        assert_eq!(of_variables(&[(variable, value)]), [sentence]);
    }
}

/// Text, and what is said.
const IN_FILES: &[(&str, &str)] = &[
    ("naem = 'x'", "unknown key `naem` in the file FILE: did you mean `name`?"),
    ("Name = 'x'", "unknown key `Name` in the file FILE: did you mean `name`?"),
    ("listen = 'x'", "unknown key `listen` in the file FILE: did you mean `http.listen`?"),
    ("[htpp]\nlisten = 'x'", "unknown key `htpp.listen` in the file FILE: did you mean `http.listen`?"),
    ("[log]\nport = 1", "unknown key `log.port` in the file FILE: did you mean `http.port`?"),
    (
        "[http.tls]\nkey = 'x'",
        "unknown key `http.tls.key` in the file FILE: the section `http.tls` has `cert`",
    ),
    ("\"http.port\" = 1", "unknown key `\"http.port\"` in the file FILE: did you mean `http.port`?"),
    ("'' = 1", "unknown key `\"\"` in the file FILE: `app config generate` prints all that there are"),
    (
        "\"a\\nb\" = 1",
        "unknown key `\"a\\nb\"` in the file FILE: `app config generate` prints all that there are",
    ),
    ("[colours]", "unknown key `colours` in the file FILE: `app config generate` prints all that there are"),
    ("http = 1", "`http` in the file FILE is a section with keys of its own, such as `http.listen`"),
    (
        "[[http]]\nport = 1",
        "`http` in the file FILE is a section with keys of its own, such as `http.listen`",
    ),
    ("[name]\na = 1\nb = 2", "`name` in the file FILE is one value and has no keys below it"),
    ("name = 12345", "`name` in the file FILE is 12345, but must be a text, in quotes"),
    ("name = true", "`name` in the file FILE is true, but must be a text, in quotes"),
    ("data_dir = 12345", "`data_dir` in the file FILE is 12345, but must be a path, in quotes"),
    ("name = 1979-05-27", "`name` in the file FILE is 1979-05-27, but must be a text, in quotes"),
    ("http = 1979-05-27", "`http` in the file FILE is a section with keys of its own, such as `http.listen`"),
    (
        "colour = 1979-05-27",
        "unknown key `colour` in the file FILE: `app config generate` prints all that there are",
    ),
    ("name = ['a']", "`name` in the file FILE is [\"a\"], but must be a text"),
    (
        "threads = '4'",
        "`threads` in the file FILE is \"4\", but must be a whole number from 1 to 64 (threads)",
    ),
    ("threads = 4.5", "`threads` in the file FILE is 4.5, but must be a whole number from 1 to 64 (threads)"),
    ("threads = 0", "`threads` in the file FILE is 0, but must be a whole number from 1 to 64 (threads)"),
    ("is_public = 'true'", "`is_public` in the file FILE is \"true\", but must be `true` or `false`"),
    ("is_public = 1", "`is_public` in the file FILE is 1, but must be `true` or `false`"),
    ("peers = 'a,b'", "`peers` in the file FILE is \"a,b\", but must be a list of texts"),
    ("peers = ['a', 1]", "`peers` in the file FILE is [\"a\",1], but must be a list of texts"),
    ("token = 1.50", "`token` in the file FILE must be a text in quotes, and not `[secret]`"),
    ("token_file = 1", "`token_file` in the file FILE is 1, but must be a path, in quotes"),
    (
        "[http]\nport = 5\nlisten = '127.0.0.1:5'",
        "`http.port` is the port of `http.listen` (`http.port`: the file FILE, `http.listen`: the file FILE)",
    ),
    (
        "name = 'a'\nname = 'b'",
        "the configuration file FILE is not TOML: TOML parse error at line 2, column 1: duplicate key `name` in document root",
    ),
    (
        "[http]\n[http]",
        "the configuration file FILE is not TOML: TOML parse error at line 2, column 1: invalid table header: duplicate key `http` in document root",
    ),
    (
        "name = x",
        "the configuration file FILE is not TOML: TOML parse error at line 1, column 8: invalid string: expected `\"`, `'`",
    ),
    (
        "name == 'x'",
        "the configuration file FILE is not TOML: TOML parse error at line 1, column 7: invalid string: expected `\"`, `'`",
    ),
];

#[test]
fn what_is_wrong_in_a_file() {
    for &(text, sentence) in IN_FILES {
        assert_eq!(of_file(text), [sentence]);
    }
    assert_eq!(of_file(b"name = '\xff'"), ["the file FILE is not valid UTF-8: write it as text"]);
    let long = format!("[http]\nlisten = '{}'", "é".repeat(1000));
    let shown = "é".repeat(79);
    let expected =
        format!("`http.listen` in the file FILE is \"{shown}…, but must be an address with a port");
    assert_eq!(of_file(long), [expected]);
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let place = Place::new("");
    let folder = place.file.parent().unwrap();
    for (path, detail) in [
        (folder.join("none.toml"), "No such file or directory (os error 2)"),
        (folder.to_path_buf(), "Is a directory (os error 21)"),
    ] {
        let expected = format!(
            "the configuration file {} cannot be read ({detail}): it is named by --config or APP_CONFIG",
            path.display()
        );
        assert_eq!(sentences(Some(&path), Vec::new(), &Flags::default()), [expected]);
    }
}

#[derive(Serialize)]
struct PathFlags {
    data_dir: PathBuf,
}

#[test]
fn what_is_no_text_is_refused_only_if_it_is_ours() {
    let not_text = || OsString::from_vec(vec![0xff]);
    assert!(
        load::<App>(None, [("OTHER".into(), not_text()), (not_text(), "x".into())], &Flags::default())
            .is_ok()
    );
    assert_eq!(
        sentences(None, vec![("APP_NAME".into(), not_text())], &Flags::default()),
        ["the environment variable APP_NAME is not valid UTF-8: write it as text"]
    );
    let variable = OsString::from_vec(b"APP_NAM\xff".to_vec());
    assert_eq!(
        sentences(None, vec![(variable, "x".into())], &Flags::default()),
        ["unknown key `nam\u{fffd}` in the environment variable APP_NAM\u{fffd}: did you mean APP_NAME?"]
    );
    assert_eq!(
        sentences(None, Vec::new(), &PathFlags { data_dir: not_text().into() }),
        ["a path on the command line is not valid UTF-8: write it as text"]
    );
}

#[test]
fn a_flag_is_named() {
    #[derive(Serialize)]
    struct Flags {
        name: u8,
        nmae: u8,
    }
    assert_eq!(
        sentences(None, Vec::new(), &Flags { name: 1, nmae: 1 }),
        [
            "unknown key `nmae` in the command line: did you mean `name`?",
            "`name` in the flag --name is 1, but must be a text, in quotes"
        ]
    );
}

#[test]
fn a_secret_comes_from_one_place_and_is_never_repeated() {
    let place = Place::new("token = 'hunter2'\n");
    let secret = place.secret("hunter3", 0o600);
    let variables = vec![("APP_TOKEN_FILE".into(), secret.clone().into())];
    let expected = format!(
        "`token` in the file {} and `token_file` in the environment variable APP_TOKEN_FILE are both set: keep one of them",
        place.file.display()
    );
    assert_eq!(sentences(Some(&place.file), variables, &Flags::default()), [expected]);

    place.secret("hunter3", 0o644);
    let variables = vec![("APP_TOKEN_FILE".into(), secret.clone().into())];
    let path = secret.display();
    assert_eq!(
        sentences(None, variables, &Flags::default()),
        [format!(
            "the file {path} that `token_file` in the environment variable APP_TOKEN_FILE names can be used by others: run \
             `chmod 600 {path}`"
        )]
    );
    for text in
        ["token = ['hunter2']", "[token]\nhunter = 'hunter2'", "tokne = 'hunter2'", "token = 'hunter2"]
    {
        let said = of_file(text);
        assert!(!said.iter().any(|sentence| sentence.contains("hunter2")), "{said:?}");
    }
}

/// Unknown keys of all layers, then values, then rules; a wrong value does not bring the rules about it.
#[test]
fn everything_is_said_at_once() {
    let place = Place::new(
        "naem = 'x'\nratio = 'y'\n[http]\nprot = 1\nport = 7\nlisten = 'z'\n[log]\nfilter = 'a=loud'\n",
    );
    let variables = [("APP_COLOR", "x"), ("APP_THREADS", "0"), ("APP_IS_PUBLIC", "maybe")];
    let variables = variables.map(|(name, value)| (name.into(), value.into())).into();
    let said = sentences(Some(&place.file), variables, &Flags { name: Some("a".into()), ..Flags::default() });
    let begins = [
        "unknown key `http.prot` in the file ",
        "unknown key `naem` in the file ",
        "unknown key `color` in the environment variable APP_COLOR: ",
        "`threads` in the environment variable APP_THREADS is 0, ",
        "`http.listen` in the file ",
        "`is_public` in the environment variable APP_IS_PUBLIC is \"maybe\", ",
        "`ratio` in the file ",
        "`log.filter`: `a=loud` is not a log filter",
    ];
    assert_eq!(said.len(), begins.len(), "{said:#?}");
    for (sentence, begin) in said.iter().zip(begins) {
        assert!(sentence.starts_with(begin), "{sentence}\ndoes not begin with\n{begin}");
    }
    let variables = vec![("APP_NAEM".into(), "x".into()), ("APP_COLOUR".into(), "x".into())];
    let problems = load::<App>(None, variables, &Flags::default()).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "the configuration has 2 problems\n  unknown key `colour` in the environment variable APP_COLOUR: `app config \
         generate` prints all that there are\n  unknown key `naem` in the environment variable APP_NAEM: did you mean APP_NAME?"
    );
}
