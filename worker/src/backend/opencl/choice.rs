//! Which devices the owner wants to be used.

use core::fmt;

/// Which devices are used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice {
    /// All but processors, for which the worker has better code of its own.
    #[default]
    Auto,
    /// All, processors as well.
    All,
    /// None; OpenCL is not even loaded.
    Off,
    /// Those that one of these names.
    Listed(Vec<Pick>),
}

/// What names devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// One, by its number in the table of devices.
    Number(usize),
    /// All with this in their name, platform or vendor, in any case of letters.
    Text(String),
}

impl Pick {
    /// Whether it names the device with this number and these texts.
    pub(super) fn names(&self, number: usize, texts: &[&str]) -> bool {
        match self {
            Self::Number(picked) => *picked == number,
            Self::Text(part) => texts.iter().any(|text| text.to_lowercase().contains(&part.to_lowercase())),
        }
    }
}

impl Choice {
    /// `auto`, `all`, `off`, or numbers and parts of names with commas between them. Nothing at all is `auto`.
    pub fn of(text: &str) -> Self {
        let picks: Vec<_> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        match &picks[..] {
            [] | ["auto"] => Self::Auto,
            ["all"] => Self::All,
            ["off"] => Self::Off,
            picks => Self::Listed(picks.iter().map(|part| Pick::of(part)).collect()),
        }
    }
}

impl Pick {
    fn of(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Text(text.into()), Self::Number)
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::All => f.write_str("all"),
            Self::Off => f.write_str("off"),
            Self::Listed(picks) => {
                let picks: Vec<_> = picks.iter().map(Pick::to_string).collect();
                f.write_str(&picks.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_word_or_a_list() {
        assert_eq!(
            [Choice::of(""), Choice::of("auto"), Choice::of(" , ")],
            [Choice::Auto, Choice::Auto, Choice::Auto]
        );
        assert_eq!([Choice::of("all"), Choice::of(" off ")], [Choice::All, Choice::Off]);
        let picks = vec![Pick::Number(0), Pick::Text("Radeon RX".into()), Pick::Number(12)];
        assert_eq!(Choice::of("0, Radeon RX,12"), Choice::Listed(picks));
        for text in ["auto", "all", "off", "0,Radeon RX,12"] {
            assert_eq!(Choice::of(text).to_string(), text);
        }
    }

    #[test]
    fn a_number_names_one_device_and_a_text_all_that_have_it() {
        let texts = ["NVIDIA H100", "NVIDIA CUDA"];
        assert!(Pick::Number(1).names(1, &texts) && !Pick::Number(1).names(0, &texts));
        assert!(Pick::of("h100").names(0, &texts) && Pick::of("cuda").names(0, &texts));
        assert!(!Pick::of("radeon").names(0, &texts) && !Pick::of("100").names(0, &texts));
    }
}
