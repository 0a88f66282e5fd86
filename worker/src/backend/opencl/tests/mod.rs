//! All of it with `PoCL`, which runs kernels on the processor, and with queues that fail in ways that no driver can be asked to.

mod faults;
mod kernel;
mod pocl;
mod remembering;
mod searching;
