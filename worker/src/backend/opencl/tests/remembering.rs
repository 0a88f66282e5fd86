//! What is remembered from one start to the next, and kernels that are wrong.

use std::fs;
use std::path::{Path, PathBuf};

use super::pocl::{pocl, recipe};
use crate::backend::opencl::error::DeviceError;
use crate::backend::opencl::kernel;
use crate::backend::opencl::open::{Recipe, open};
use crate::backend::opencl::queue::Queue;
use crate::backend::opencl::store::Store;
use crate::backend::opencl::{Description, DeviceError as Error};

/// The files of this kind.
fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|found| found == kind)).collect()
}

fn remembering_in(folder: &Path) -> Recipe {
    Recipe { store: Store::new(Some(folder)), ..recipe() }
}

/// Opens the device, which succeeds, and returns what its launches are multiples of.
fn granule(device: &Description, recipe: &Recipe) -> u64 {
    open(device, recipe).unwrap().0.granule()
}

#[test]
fn a_program_is_built_once_and_what_is_wrong_with_it_is_made_good() {
    let Some(device) = pocl("remembered programs") else { return };
    let folder = tempfile::tempdir().unwrap();
    let recipe = remembering_in(folder.path());
    granule(&device, &recipe);
    let [path] = &files(folder.path(), "program")[..] else { panic!("one program is remembered") };
    let whole = fs::read(path).unwrap();
    let written = fs::metadata(path).unwrap().modified().unwrap();
    granule(&device, &recipe);
    assert_eq!(fs::metadata(path).unwrap().modified().unwrap(), written, "it is taken as it is");
    for damaged in [&whole[..whole.len() / 2], &whole[1..], b""] {
        fs::write(path, damaged).unwrap();
        granule(&device, &recipe);
        assert_eq!(fs::read(path).unwrap().len(), whole.len(), "it has been made anew");
    }
}

/// The program of a kernel that finds nothing stands under the name of ours, and then bytes that are no program at all.
#[test]
fn a_program_that_computes_something_else_is_built_anew() {
    let Some(device) = pocl("a wrong program") else { return };
    let (ours, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let right = remembering_in(ours.path());
    granule(&device, &right);
    let [path] = &files(ours.path(), "program")[..] else { panic!("one program is remembered") };
    let wrong = Recipe { text: blind(), ..remembering_in(others.path()) };
    assert!(matches!(open(&device, &wrong), Err(Error::Missed { .. })));
    let [other] = &files(others.path(), "program")[..] else { panic!("one program is remembered") };
    let other = fs::read(other).unwrap();
    fs::write(path, &other).unwrap();
    granule(&device, &right);
    assert_ne!(fs::read(path).unwrap(), other, "it has been made anew");
}

#[test]
fn a_tuning_is_tried_out_once_and_then_remembered() {
    let Some(device) = pocl("tuning") else { return };
    let folder = tempfile::tempdir().unwrap();
    let recipe = Recipe { tuning: None, ..remembering_in(folder.path()) };
    let granule_tried = granule(&device, &recipe);
    let [path] = &files(folder.path(), "tuning")[..] else { panic!("one tuning is remembered") };
    let saved = fs::read(path).unwrap();
    assert_eq!(granule(&device, &recipe), granule_tried);
    assert_eq!(fs::read(path).unwrap(), saved, "nothing has been tried out again");
    // What cannot have been written here is tried out again.
    fs::write(path, &saved[..saved.len() - 1]).unwrap();
    granule(&device, &recipe);
    let text = String::from_utf8(fs::read(path).unwrap()).unwrap();
    let numbers: Vec<u64> =
        text.lines().last().unwrap()[64..].split(' ').map(|part| part.parse().unwrap()).collect();
    assert_eq!(numbers.len(), 2);
}

#[test]
fn a_kernel_that_cannot_be_built_says_what_the_compiler_says() {
    let Some(device) = pocl("a kernel that cannot be built") else { return };
    let text = "__kernel void search(__global uint *result) { result[0] = no_such_thing; }";
    let Err(error) = open(&device, &Recipe { text, ..recipe() }) else { panic!("it has been built") };
    let sentence = error.to_string();
    assert!(sentence.starts_with("the kernel cannot be built: "), "{sentence}");
    assert!(sentence.contains("no_such_thing") && !sentence.contains('\n'), "{sentence}");
}

#[test]
fn a_device_that_computes_something_else_is_not_used() {
    let Some(device) = pocl("a device that is wrong") else { return };
    let open = |text| open(&device, &Recipe { text, ..recipe() }).map(|_| ());
    assert!(matches!(open(blind()), Err(DeviceError::Missed { .. })));
    // Every nonce is a hit.
    assert!(matches!(
        open(kernel::TEXT.replace(">= threshold", ">= 0").leak()),
        Err(DeviceError::Wrong { .. })
    ));
    // The last bits of the threshold do not count.
    let careless = kernel::TEXT.replace(">= threshold", ">= (threshold & ~0xffffUL)").leak();
    assert!(matches!(open(careless), Err(DeviceError::Wrong { .. })));
    // One word of the last round is wrong.
    let round = kernel::TEXT.rfind("MIX(v2, v7").unwrap();
    let (before, after) = kernel::TEXT.split_at(round);
    let text = [before, &after.replacen("v13", "v12", 1)].concat().leak();
    assert!(open(text).is_err());
}

/// The kernel, but for its hits.
fn blind() -> &'static str {
    kernel::TEXT.replace(">= threshold", "> 0xffffffffffffffffUL").leak()
}
