//! How a type that has a text form is serialised.

/// Implements `Serialize` and `Deserialize` for a type by its text: what its `Display` writes and its `FromStr` reads.
///
/// With `binary` the text is for formats that people read (JSON); in others (postcard) a plain value stands for it, whose type
/// follows, with the functions from the type to that value and back.
///
/// ```
/// # use shared::serde_as_text;
/// struct Celsius(i16);
/// # impl std::fmt::Display for Celsius {
/// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, "{} C", self.0) }
/// # }
/// # impl std::str::FromStr for Celsius {
/// #     type Err = std::num::ParseIntError;
/// #     fn from_str(text: &str) -> Result<Self, Self::Err> { text.trim_end_matches(" C").parse().map(Self) }
/// # }
/// serde_as_text!(Celsius, binary i16: |celsius| celsius.0, Celsius);
///
/// assert_eq!(serde_json::to_string(&Celsius(-4)).unwrap(), "\"-4 C\"");
/// assert_eq!(postcard::to_vec::<_, 8>(&Celsius(-4)).unwrap(), [7]);
/// ```
#[macro_export]
macro_rules! serde_as_text {
    ($name:ident $(<const $parameter:ident: $of:ty>)?) => {
        impl $(<const $parameter: $of>)? serde::Serialize for $name $(<$parameter>)? {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de $(, const $parameter: $of)?> serde::Deserialize<'de> for $name $(<$parameter>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
    ($name:ident, binary $value:ty: $to:expr, $from:expr) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    let to: fn(&Self) -> $value = $to;
                    to(self).serialize(serializer)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    <$value>::deserialize(deserializer).map($from)
                }
            }
        }
    };
}
