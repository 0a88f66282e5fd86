//! What the library did that `ocl` could not be told.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use cl_sys::cl_int;
use thiserror::Error;

/// At most so many are kept: a driver with more oddities is no better understood by them.
const REMARKS_MAX: usize = 64;

/// Something that the library did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Remark {
    /// It lacks a function.
    #[error("the OpenCL library has no {function}: it is older than OpenCL 1.2, or damaged")]
    MissingFunction {
        /// The function.
        function: &'static str,
    },
    /// It answered with a code of its own.
    #[error("{function} answered with {code}, which is the driver's own code")]
    ForeignCode {
        /// The function.
        function: &'static str,
        /// The code.
        code: cl_int,
    },
}

static REMARKS: Mutex<BTreeSet<Remark>> = Mutex::new(BTreeSet::new());

/// All that is remarkable since the start of the process, each thing once.
pub fn remarks() -> Vec<Remark> {
    REMARKS.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
}

/// Remembers it.
pub(crate) fn note(remark: Remark) {
    add(&mut REMARKS.lock().unwrap_or_else(PoisonError::into_inner), remark);
}

fn add(remarks: &mut BTreeSet<Remark>, remark: Remark) {
    if remarks.len() < REMARKS_MAX {
        remarks.insert(remark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_remarked_once_and_all_of_it_is_bounded() {
        let mut remarks = BTreeSet::new();
        let remark = Remark::MissingFunction { function: "clTest" };
        add(&mut remarks, remark);
        add(&mut remarks, remark);
        assert_eq!(remarks.len(), 1);
        for code in 0..1_000 {
            add(&mut remarks, Remark::ForeignCode { function: "clTest", code });
        }
        assert_eq!(remarks.len(), REMARKS_MAX);
        assert!(remark.to_string().contains("has no clTest"));
    }
}
