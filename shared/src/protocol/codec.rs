//! Payload bytes: one version byte and postcard, or the same message as a JSON object.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::VERSION;

/// How a payload is written. Whoever speaks JSON is answered in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// [`VERSION`], then postcard: integers as varints of seven bits a byte, least significant first; ids and roots as they
    /// read.
    #[default]
    Binary,
    /// A JSON object; ids, roots, thresholds and nonces as hexadecimal text.
    Json,
}

/// Something that is a payload.
pub trait Message: Serialize + DeserializeOwned {
    /// Largest payload of this kind that is read, in bytes, in either form.
    const SIZE_MAX: usize;

    /// Checks what the types alone cannot hold, such as the number of jobs of a list.
    ///
    /// # Errors
    /// One clause that names the field.
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// Why a payload is not the message that its topic carries.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Larger than [`Message::SIZE_MAX`].
    #[error("the payload has {size} bytes, at most {limit} are read")]
    TooLarge {
        /// Its size.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// No bytes at all.
    #[error("the payload is empty")]
    Empty,
    /// A version this program does not speak.
    #[error("protocol version {0} is not spoken here")]
    Version(u8),
    /// Not the postcard form of the message.
    #[error("the payload is not this message in its binary form")]
    Binary,
    /// The message, and then more bytes.
    #[error("{0} bytes follow the message")]
    Trailing(usize),
    /// Not the JSON form of the message: what is wrong, and where. It repeats nothing of the payload, which may be a secret in the
    /// wrong place.
    #[error("the payload is not this message as JSON: {0}")]
    Json(String),
    /// Well-formed, but a field is out of its bounds.
    #[error("{0}")]
    Bounds(&'static str),
}

/// What most messages need at most in binary form, in bytes: a list of two jobs, a verdict, a reply.
const USUAL_SIZE: usize = 160;

/// Writes a message.
///
/// # Panics
/// Never: the messages hold nothing that either format cannot express.
pub fn encode<M: Message>(message: &M, form: Form) -> Vec<u8> {
    match form {
        Form::Binary => {
            let mut payload = Vec::with_capacity(USUAL_SIZE);
            payload.push(VERSION);
            postcard::to_extend(message, payload).expect("a growing buffer takes every message")
        }
        Form::Json => serde_json::to_vec(message).expect("messages have text keys and finite numbers"),
    }
}

/// Reads a message, and says in which form it came.
///
/// # Errors
/// [`DecodeError`]. What is allocated on the way is bounded by the payload's own size, whatever lengths it claims.
pub fn decode<M: Message>(payload: &[u8]) -> Result<(M, Form), DecodeError> {
    if payload.len() > M::SIZE_MAX {
        return Err(DecodeError::TooLarge { size: payload.len(), limit: M::SIZE_MAX });
    }
    let (message, form): (M, Form) = match payload.split_first() {
        None => return Err(DecodeError::Empty),
        Some((b'{', _)) => {
            let message = serde_json::from_slice(payload).map_err(|error| json_error(&error))?;
            (message, Form::Json)
        }
        Some((&VERSION, body)) => {
            let (message, rest) = postcard::take_from_bytes(body).map_err(|_| DecodeError::Binary)?;
            if !rest.is_empty() {
                return Err(DecodeError::Trailing(rest.len()));
            }
            (message, Form::Binary)
        }
        Some((&version, _)) => return Err(DecodeError::Version(version)),
    };
    message.check().map_err(DecodeError::Bounds)?;
    Ok((message, form))
}

fn json_error(error: &serde_json::Error) -> DecodeError {
    DecodeError::Json(if error.is_data() {
        let (line, column) = (error.line(), error.column());
        format!("a field is missing, unknown or of the wrong form at line {line} column {column}")
    } else {
        error.to_string()
    })
}
