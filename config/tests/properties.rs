//! What holds whatever is written into a file and into variables.

mod app;

use std::collections::BTreeMap;
use std::ffi::OsString;

use app::{App, Flags, Place};
use config::{Problems, load};
use proptest::prelude::*;
use proptest::sample::select;

/// A text that nobody may see.
const SECRET: &str = "hunter2";

/// Keys that there are and that there are not.
const KEYS: [&str; 14] = [
    "name",
    "data_dir",
    "threads",
    "ratio",
    "is_public",
    "peers",
    "token",
    "token_file",
    "log.filter",
    "log.format",
    "http.listen",
    "http.port",
    "http.colour",
    "colour",
];

/// Values as a file has them; a variable has the same text.
const VALUES: [&str; 16] = [
    "'hunter2'",
    "''",
    "'json'",
    "'info'",
    "'[::1]:1'",
    "'/nowhere'",
    "1",
    "65",
    "-1",
    "0.5",
    "nan",
    "true",
    "[]",
    "['a', 'b']",
    "[1, ['a']]",
    "1979-05-27",
];

type Layer = BTreeMap<&'static str, &'static str>;

fn layer() -> impl Strategy<Value = Layer> {
    prop::collection::btree_map(select(&KEYS[..]), select(&VALUES[..]), 0..8)
}

fn read(file: &Layer, variables: &Layer) -> Result<App, Problems> {
    let text: String = file.iter().flat_map(|(key, value)| [key, " = ", value, "\n"]).collect();
    let place = Place::new(text);
    let variables = variables.iter().map(|(key, value)| {
        let variable = format!("APP_{}", key.replace('.', "__").to_uppercase());
        (OsString::from(variable), OsString::from(value.trim_matches('\'')))
    });
    load(Some(&place.file), variables, &Flags::default()).map(|loaded| loaded.settings)
}

/// The keys that a sentence is about, without those that it suggests.
fn is_about(sentence: &str, key: &str) -> bool {
    let (sentence, _) = sentence.split_once(": did you mean").unwrap_or((sentence, ""));
    sentence.contains(&format!("`{key}`"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Each problem is one line and shows no secret; and when all keys that are complained of are taken out, nothing is left
    /// to complain of: everything was said at once.
    #[test]
    fn everything_is_said_at_once(mut file in layer(), mut variables in layer()) {
        let Err(problems) = read(&file, &variables) else { return Ok(()) };
        let sentences: Vec<_> = problems.iter().map(ToString::to_string).collect();
        prop_assert!(!sentences.is_empty());
        for sentence in &sentences {
            prop_assert!(!sentence.contains('\n'), "{sentence:?}");
            let is_of_secret = is_about(sentence, "token") || is_about(sentence, "token_file");
            prop_assert!(!is_of_secret || !sentence.contains(SECRET) || sentence.contains("token_file"), "{sentence}");
        }
        let is_good = |key: &str| !sentences.iter().any(|sentence| is_about(sentence, key));
        file.retain(|key, _| is_good(key));
        variables.retain(|key, _| is_good(key));
        prop_assert!(read(&file, &variables).is_ok(), "{sentences:?}\n{:?}", read(&file, &variables));
    }
}
