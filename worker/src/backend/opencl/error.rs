//! What can be wrong with a device.

use std::io;
use std::time::Duration;

use ocl::core::{Error, Status};
use opencl_loader::{MISSING_FUNCTION, remarks};
use shared::pow::Nonce;
use thiserror::Error as ThisError;

/// Why a device is not used, or no longer: a clause for people that goes on after its name.
#[derive(Debug, ThisError)]
pub enum DeviceError {
    /// A function of OpenCL failed: the device is gone, is out of memory, or its driver is broken.
    #[error("{function} failed: {reason}")]
    Driver {
        /// The function.
        function: &'static str,
        /// The status, or what else the driver says.
        reason: String,
    },
    /// Its compiler refuses the kernel.
    #[error("the kernel cannot be built: {log}")]
    Build {
        /// What the compiler says.
        log: String,
    },
    /// It claims a nonce that does not meet the threshold.
    #[error("it computes wrong results: {nonce} is no work")]
    Wrong {
        /// What it claims.
        nonce: Nonce,
    },
    /// It does not find what is known to be there.
    #[error("it computes wrong results: it has missed {nonce}")]
    Missed {
        /// What it should have found.
        nonce: Nonce,
    },
    /// It does not answer.
    #[error("it has not answered for {} s", patience.as_secs())]
    Hung {
        /// How long it was waited for.
        patience: Duration,
    },
    /// Its thread ended by a panic.
    #[error("its driver and `ocl` do not understand each other: {message}")]
    Panicked {
        /// What the panic says.
        message: String,
    },
    /// The system refuses a thread.
    #[error("no thread can be started for it: {0}")]
    Thread(#[source] io::Error),
}

/// The answer of a function of OpenCL, with a sentence for a failure instead of a page.
pub(super) fn call<T>(function: &'static str, answer: Result<T, Error>) -> Result<T, DeviceError> {
    answer.map_err(|error| DeviceError::Driver { function, reason: reason(function, &error) })
}

fn reason(function: &str, error: &Error) -> String {
    let Some(status) = error.api_status() else { return one_line(&error.to_string()) };
    let remark = remarks().into_iter().map(|remark| remark.to_string()).find(|text| text.contains(function));
    match remark {
        Some(remark) if status as i32 == MISSING_FUNCTION || status == Status::CL_OUT_OF_RESOURCES => remark,
        _ => format!("{status:?} ({})", status as i32),
    }
}

/// The text without breaks and rulers, and of a length that can be read.
pub(super) fn one_line(text: &str) -> String {
    const CHARACTERS_MAX: usize = 2_000;
    let words = text.split_whitespace().filter(|word| !word.chars().all(|character| character == '#'));
    words.collect::<Vec<_>>().join(" ").chars().take(CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_driver_says_becomes_one_line() {
        let error = Error::from("\n\n#### DEBUG OUTPUT ####\n\nerror: no such   thing\n####\n");
        let error = call::<()>("clTest", Err(error)).unwrap_err();
        assert_eq!(error.to_string(), "clTest failed: DEBUG OUTPUT error: no such thing");
        assert_eq!(one_line(&"x".repeat(10_000)).len(), 2_000);
    }
}
