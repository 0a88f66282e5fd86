//! A library without a driver behind it.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

mod stub;

use opencl_loader::{open, remarks};

/// What `ocl-icd` answers where no driver is installed.
const WITHOUT_A_DRIVER: &str =
    "int clGetPlatformIDs(unsigned n, void **p, unsigned *count) { return -1001; }";

#[test]
fn a_library_without_a_platform_is_an_empty_list_at_once() {
    let (_folder, library) = stub::compile(WITHOUT_A_DRIVER);
    open(Some(&library)).unwrap();
    // An error would be what `ocl` says after it has waited for ten seconds.
    assert_eq!(ocl::core::get_platform_ids().unwrap(), []);
    assert_eq!(remarks(), []);
}
