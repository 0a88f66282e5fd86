//! Which name was probably meant.

/// The most that are offered.
const OFFERED_MAX: usize = 3;

/// The names that a mistyped one comes nearest to, the nearest first; none that nobody would mistake for it.
pub(super) fn similar<T: ToString>(mistyped: &str, names: impl IntoIterator<Item = T>) -> Vec<String> {
    let near_enough = |name: &str| {
        let distance = strsim::damerau_levenshtein(mistyped, name);
        let begins = mistyped.len() >= 3 && name.starts_with(mistyped);
        (distance <= 1 + mistyped.len() / 5 || begins).then_some(distance)
    };
    let names = names.into_iter().map(|name| name.to_string());
    let mut near: Vec<_> = names.filter_map(|name| Some((near_enough(&name)?, name))).collect();
    near.sort();
    near.into_iter().take(OFFERED_MAX).map(|(_, name)| name).collect()
}

/// A question for whoever mistyped: `did you mean wallet or walnut? If not, ` before what else can be done.
pub(super) fn did_you_mean(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => format!("did you mean {name}? If not, "),
        [first @ .., last] => format!("did you mean {} or {last}? If not, ", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_offered() {
        let names = ["wallet", "walnut", "my-wallet", "faucet", "x"];
        for (mistyped, meant) in [
            ("walet", &["wallet", "walnut"][..]),
            ("my-walelt", &["my-wallet"]),
            ("faucett", &["faucet"]),
            ("wal", &["wallet", "walnut"]),
            ("my_wallet", &["my-wallet"]),
            ("exchange", &[]),
            ("", &["x"]),
        ] {
            assert_eq!(similar(mistyped, names), meant, "{mistyped}");
        }
        let names = ["a", "b", "c"].map(String::from);
        assert_eq!(did_you_mean(&names), "did you mean a, b or c? If not, ");
        assert_eq!(did_you_mean(&names[..1]), "did you mean a? If not, ");
        assert_eq!(did_you_mean(&[]), "");
    }
}
