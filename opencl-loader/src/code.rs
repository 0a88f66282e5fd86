//! OpenCL's status codes, as far as `ocl` can take them.

use cl_sys::cl_int;

use crate::remark::{Remark, note};

/// What a function answers that the library lacks: `CL_LINKER_NOT_AVAILABLE`. It is a code that `ocl` has a name for, and that no
/// function used here answers by itself.
pub const MISSING_FUNCTION: cl_int = -16;

/// No platform is installed (extension `cl_khr_icd`).
pub(crate) const PLATFORM_NOT_FOUND: cl_int = -1001;
/// What stands for a code without a name: the device cannot do what it was asked.
const OUT_OF_RESOURCES: cl_int = -5;

/// Whether `ocl` has a name for the code.
pub const fn is_known(code: cl_int) -> bool {
    matches!(code, -19..=0 | -70..=-30 | -1001 | -1000 | -9999)
}

/// What `ocl` is told instead of `code`.
pub(crate) fn known(function: &'static str, code: cl_int) -> cl_int {
    if is_known(code) {
        return code;
    }
    note(Remark::ForeignCode { function, code });
    OUT_OF_RESOURCES
}

#[cfg(test)]
mod tests {
    use num_traits::FromPrimitive;
    use ocl::core::Status;

    use super::*;

    #[test]
    fn what_passes_has_a_name_and_the_rest_becomes_a_code_that_has() {
        for code in -20_000..=20_000 {
            // `ocl` panics at a code that it has no name for.
            assert_eq!(is_known(code), Status::from_i32(code).is_some(), "{code}");
            assert!(is_known(known("clTest", code)), "{code}");
        }
        assert!(is_known(MISSING_FUNCTION));
        assert_ne!(MISSING_FUNCTION, PLATFORM_NOT_FOUND);
        assert_eq!(known("clTest", -12_345), Status::CL_OUT_OF_RESOURCES as cl_int);
    }
}
