//! OpenCL without a library at build time or at start.
//!
//! `cl-sys`, beneath `ocl`, wants a library called `OpenCL` from the linker, and a program that is linked with one does not even
//! start where it is missing. This crate takes its place: it exports OpenCL's functions and forwards each to the library
//! that [`open`] has found. A crate that uses `ocl` names this one, so that it is linked:
//!
//! ```
//! use opencl_loader as _;
//!
//! // Without OpenCL on the machine there is no platform, and that is known at once.
//! let platforms = ocl::core::get_platform_ids();
//! # assert!(platforms.is_ok());
//! ```
//!
//! Some answers of a library are put right on the way, because `ocl` would wait, panic or overrun a buffer:
//!
//! - no platform (-1001, and no library at all) is an empty list, for which `ocl` does not wait ten seconds;
//! - a function that the library lacks answers with [`MISSING_FUNCTION`], and is named by [`remarks`];
//! - a code that only this driver knows becomes `CL_OUT_OF_RESOURCES`, for `ocl` panics at it; [`remarks`] has the code;
//! - a release that fails is passed over, for `ocl` panics in a destructor, and nothing can be done about it;
//! - a driver with more devices than were asked for does not say so.
//!
//! Only what `ocl` 0.19 calls is here. Whoever needs another function adds its row in `function.rs`; the linker names it.

mod code;
mod function;
mod library;
mod remark;

pub use code::{MISSING_FUNCTION, is_known};
pub use library::{NotOpened, open};
pub use remark::{Remark, remarks};
