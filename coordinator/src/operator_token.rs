//! The token that operators log in with.

use zeroize::Zeroizing;

use crate::config::Settings;
use crate::home::{Home, HomeError};

/// Its file in the data directory, where it is not configured.
const FILE: &str = "operator-token";

/// The configured token, or else the one in the data directory, which is made when there is none.
///
/// # Errors
/// [`HomeError`] when the file can be read by others, or cannot be read or made.
pub(crate) fn read(settings: &Settings, home: &Home) -> Result<Zeroizing<String>, HomeError> {
    match &settings.operator_token {
        Some(token) => Ok(Zeroizing::new(token.expose().to_owned())),
        None => home.secret(FILE),
    }
}

/// The line of the banner that says where the token is.
pub(crate) fn banner_line(settings: &Settings, home: &Home) -> String {
    let place = match settings.operator_token {
        Some(_) => "as configured".into(),
        None => format!("in {}", home.file(FILE).display()),
    };
    format!("operator   user `operator`, token {place}")
}

#[cfg(test)]
mod tests {
    use config::Secret;

    use super::*;

    #[test]
    fn a_configured_token_is_used_instead_of_one_in_the_data_directory() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        let settings =
            Settings { operator_token: Some(Secret::new("configured".into())), ..Settings::default() };
        assert_eq!(*read(&settings, &home).unwrap(), "configured");
        assert_eq!(banner_line(&settings, &home), "operator   user `operator`, token as configured");
        assert!(!home.file(FILE).exists());

        let settings = Settings::default();
        let made = read(&settings, &home).unwrap();
        assert_eq!(*read(&settings, &home).unwrap(), *made);
        let place = home.file(FILE);
        let expected = format!("operator   user `operator`, token in {}", place.display());
        assert_eq!(banner_line(&settings, &home), expected);
        assert!(place.exists());
    }
}
