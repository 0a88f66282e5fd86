//! A library that lacks functions, and whose answers `ocl` would panic at or take for more than they are.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

mod stub;

use std::ptr::null_mut;

use ocl::core::{self, PlatformInfo, Status};
use ocl::ffi;
use opencl_loader::{MISSING_FUNCTION, Remark, open, remarks};

const ODD: &str = "
    #include <stddef.h>
    static int object;
    int clGetPlatformIDs(unsigned n, void **platforms, unsigned *count) {
        if (platforms) *platforms = &object;
        if (count) *count = 1;
        return 0;
    }
    int clGetDeviceIDs(void *platform, unsigned long long type, unsigned n, void **devices, unsigned *count) {
        for (unsigned i = 0; i < n; i++) devices[i] = &object;
        *count = 1000000;
        return 0;
    }
    int clGetDeviceInfo(void *device, unsigned name, size_t size, void *value, size_t *needed) { return -31337; }
    void *clCreateContext(void *p, unsigned n, void **d, void *f, void *u, int *status) {
        *status = 0;
        return &object;
    }
    int clReleaseContext(void *context) { return -36; }
    void *clCreateKernel(void *program, const char *name, int *status) {
        *status = -4242;
        return NULL;
    }
";

#[test]
fn what_a_driver_lacks_or_does_wrong_is_an_error_with_a_remark() {
    let (_folder, library) = stub::compile(ODD);
    open(Some(&library)).unwrap();
    let platforms = core::get_platform_ids().unwrap();
    assert_eq!(platforms.len(), 1);

    let error = core::get_platform_info(platforms[0], PlatformInfo::Name).unwrap_err();
    assert_eq!(error.api_status().map(|status| status as i32), Some(MISSING_FUNCTION));
    let devices = core::get_device_ids(platforms[0], None, None).unwrap();
    assert_eq!(devices.len(), 64, "as many as `ocl` has room for");
    let error = core::get_device_info_raw(devices[0], ffi::CL_DEVICE_NAME).unwrap_err();
    assert_eq!(error.api_status(), Some(Status::CL_OUT_OF_RESOURCES));

    // The release fails, and `ocl` would panic.
    drop(core::create_context(None, &devices[..1], None, None).unwrap());

    let mut statuses = [1; 2];
    // SAFETY: the stub looks at nothing but the status.
    #[expect(unsafe_code, reason = "what `ocl` would not call without a program")]
    let objects = unsafe {
        (
            ffi::clCreateKernel(null_mut(), c"search".as_ptr(), &raw mut statuses[0]),
            ffi::clCreateSampler(null_mut(), 0, 0, 0, &raw mut statuses[1]),
        )
    };
    assert_eq!(objects, (null_mut(), null_mut()));
    assert_eq!(statuses, [Status::CL_OUT_OF_RESOURCES as i32, MISSING_FUNCTION]);

    assert_eq!(
        remarks(),
        [
            Remark::MissingFunction { function: "clCreateSampler" },
            Remark::MissingFunction { function: "clGetPlatformInfo" },
            Remark::ForeignCode { function: "clCreateKernel", code: -4242 },
            Remark::ForeignCode { function: "clGetDeviceInfo", code: -31337 },
        ]
    );
}
