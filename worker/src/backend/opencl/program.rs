//! Kernels as programs of a device: built once, and remembered.

use std::ffi::CString;

use ocl::core::{self, Context, DeviceId, Error, Program, ProgramInfo, ProgramInfoResult};

use super::error::{DeviceError, call, one_line};
use super::store::{Key, Store};

/// A text for one device, and how it is compiled.
#[derive(Debug, Clone)]
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) options: String,
    /// The device and its driver, as far as they make a difference to what is built.
    pub(super) identity: &'a [String],
}

impl Source<'_> {
    /// What the built program is remembered under.
    pub(super) fn key(&self) -> Key {
        let parts = self.identity.iter().cloned().chain([self.options.clone(), self.text.into()]);
        Key { kind: "program", parts: parts.collect() }
    }
}

/// The program as it was built for the device before; `None` if it was not, or the driver no longer takes it.
pub(super) fn remembered(
    context: &Context,
    device: DeviceId,
    source: &Source<'_>,
    store: &Store,
) -> Option<Program> {
    let binary = store.load(&source.key())?;
    let program = core::create_program_with_binary(context, &[device], &[&binary]);
    let program =
        call("clCreateProgramWithBinary", program).and_then(|program| finish(program, device, source));
    program.inspect_err(|error| tracing::warn!(%error, "the driver does not take its own program back")).ok()
}

/// Builds the program, and remembers it.
///
/// # Errors
/// [`DeviceError::Build`] with what the compiler says, or what else the driver says.
pub(super) fn build(
    context: &Context,
    device: DeviceId,
    source: &Source<'_>,
    store: &Store,
) -> Result<Program, DeviceError> {
    let text = c_string(source.text)?;
    let program = call("clCreateProgramWithSource", core::create_program_with_source(context, &[text]))?;
    let program = finish(program, device, source)?;
    // Some drivers do not hand programs out; they are built again each time.
    if let Ok(ProgramInfoResult::Binaries(binaries)) = core::get_program_info(&program, ProgramInfo::Binaries)
        && let [binary] = &binaries[..]
        && !binary.is_empty()
    {
        store.save(&source.key(), binary);
    }
    Ok(program)
}

/// Builds what has been created of a text or a binary.
fn finish(program: Program, device: DeviceId, source: &Source<'_>) -> Result<Program, DeviceError> {
    let options = c_string(&source.options)?;
    match core::build_program(&program, Some(&[device]), &options, None, None) {
        Ok(()) => Ok(program),
        Err(Error::ProgramBuild(error)) => Err(DeviceError::Build { log: one_line(&error.to_string()) }),
        Err(error) => call("clBuildProgram", Err(error)),
    }
}

fn c_string(text: &str) -> Result<CString, DeviceError> {
    CString::new(text).map_err(|_| DeviceError::Build { log: "the text has a zero in it".into() })
}
