//! Which key was probably meant.

use strsim::damerau_levenshtein;

/// How many equally good suggestions are made at most.
const SUGGESTIONS_MAX: usize = 3;

/// What a wrong section weighs, in edits: a slip inside the right one is likelier than two, and less likely than three.
const WRONG_SECTION: usize = 2;

/// The keys that a mistyped one comes nearest to: all that are equally near, in the order in which they are given. None if all
/// are too far away to have been meant.
pub(crate) fn nearest<'a>(mistyped: &str, keys: &[&'a str]) -> Vec<&'a str> {
    let mistyped = mistyped.to_lowercase();
    let near: Vec<_> = keys.iter().filter_map(|key| Some((edits(&mistyped, key)?, *key))).collect();
    let fewest = near.iter().map(|(edits, _)| *edits).min();
    let nearest = near.iter().filter(|(edits, _)| Some(*edits) == fewest);
    nearest.map(|(_, key)| *key).take(SUGGESTIONS_MAX).collect()
}

/// How many edits make a key of what was typed: of its name if the section is right; else of the whole, or of the name alone.
fn edits(mistyped: &str, key: &str) -> Option<usize> {
    let ((section, name), (section_of_key, name_of_key)) = (parts(mistyped), parts(key));
    let name = damerau_levenshtein(name, name_of_key);
    if section == section_of_key {
        return (name <= 1 + name_of_key.len() / 4).then_some(name);
    }
    let whole = damerau_levenshtein(mistyped, key);
    let is_whole_near = whole <= 1 + key.len() / 5;
    let is_name_near = name <= name_of_key.len() / 4;
    let near = [is_whole_near.then_some(whole), is_name_near.then_some(name + WRONG_SECTION)];
    near.into_iter().flatten().min()
}

/// The section and the name in it.
fn parts(key: &str) -> (&str, &str) {
    key.rsplit_once('.').unwrap_or(("", key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 8] = [
        "network",
        "data_dir",
        "http.listen",
        "mqtt.listen",
        "mqtt.listen_websocket",
        "dispatch.k",
        "limits.multiplier_max",
        "log.filter",
    ];

    #[test]
    fn what_was_meant_is_found_over_all_sections() {
        for (mistyped, meant) in [
            ("netwrok", &["network"][..]),
            ("http.lisen", &["http.listen"]),
            ("htpp.listen", &["http.listen"]),
            ("http_listen", &["http.listen"]),
            ("listen", &["http.listen", "mqtt.listen"]),
            ("server.listen", &["http.listen", "mqtt.listen"]),
            ("http.listen_websocket", &["mqtt.listen_websocket"]),
            ("k", &["dispatch.k"]),
            ("multiplier_max", &["limits.multiplier_max"]),
            ("http.multiplier-max", &["limits.multiplier_max"]),
            ("filter", &["log.filter"]),
            ("Data-Dir", &["data_dir"]),
            ("datadir", &["data_dir"]),
            ("colour", &[]),
            ("x", &[]),
            ("", &[]),
        ] {
            assert_eq!(nearest(mistyped, &KEYS), meant, "{mistyped}");
        }
    }
}
