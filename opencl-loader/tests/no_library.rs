//! A machine without OpenCL. In a test of its own, for a process opens one library.

use std::path::Path;

use opencl_loader::{NotOpened, open};

#[test]
fn without_a_library_there_is_no_platform_and_it_is_said_why() {
    let error = open(Some(Path::new("/nowhere/libOpenCL.so.1"))).unwrap_err();
    assert!(matches!(error, NotOpened::Unusable { .. }));
    let sentence = error.to_string();
    assert!(
        sentence.starts_with("the OpenCL library /nowhere/libOpenCL.so.1 cannot be opened ("),
        "{sentence}"
    );
    assert!(cfg!(not(target_os = "linux")) || sentence.contains("No such file"), "{sentence}");
    // An error would be what `ocl` says after it has waited for ten seconds.
    assert_eq!(ocl::core::get_platform_ids().unwrap(), []);
    assert_eq!(open(None), Err(error), "the first call has decided");
}
