//! A device of OpenCL as a queue of launches.
#![expect(
    unsafe_code,
    reason = "OpenCL takes pointers, and writes through them after the call that took them"
)]

use std::collections::VecDeque;
use std::ffi::c_void;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ocl::core::{
    self, ArgVal, CommandExecutionStatus, CommandQueue, Context, DeviceId, Event, Kernel, Mem, MemFlags,
    Program,
};
use ocl::ffi::cl_event;
use shared::pow::Nonce;

use super::error::{DeviceError, call};
use super::kernel::{self, Constants};
use super::queue::{Job, Outcome, Queue};

/// A launch that takes longer than this without a word may be of a driver that does not call back. One that does not do so either
/// after the launch has ended does not.
const CALL_BACK: Duration = Duration::from_secs(1);
/// Words of the kernel's result: number of the job, nonce (low, high), and one for nothing.
const RESULT: usize = 4;

/// The kernel's arguments, by their place.
mod argument {
    pub(super) const RESULT: u32 = 0;
    pub(super) const JOB: u32 = 1;
    pub(super) const COUNT: u32 = 2;
    pub(super) const FIRST: u32 = 3;
    pub(super) const THRESHOLD: u32 = 4;
    pub(super) const CONSTANTS: u32 = 5;
}

/// A kernel, a queue on which it is launched, and a buffer for what it finds. To be used by one thread.
pub(super) struct DeviceQueue {
    kernel: Kernel,
    result: Mem,
    queue: CommandQueue,
    work_group: u32,
    nonces_per_item: u32,
    job: u32,
    flights: VecDeque<Flight>,
    /// Whether the driver tells of the end of a launch.
    calls_back: bool,
}

/// A launch under way.
struct Flight {
    job: u32,
    /// Complete when the result has been read.
    event: Event,
    /// Where it is read to. Freed only when nobody writes to it any more.
    landing: *mut [u32; RESULT],
    end: Arc<End>,
}

/// When a launch has ended.
#[derive(Debug, Default)]
struct End {
    at: Mutex<Option<Instant>>,
    known: Condvar,
}

impl DeviceQueue {
    /// A queue for a program that has been built for this device and work-group size.
    pub(super) fn open(
        context: &Context,
        device: DeviceId,
        program: &Program,
        work_group: u32,
        nonces_per_item: u32,
    ) -> Result<Self, DeviceError> {
        let kernel = call("clCreateKernel", core::create_kernel(program, kernel::NAME))?;
        let queue = call("clCreateCommandQueue", core::create_command_queue(context, device, None))?;
        let flags = MemFlags::new().read_write().copy_host_ptr();
        // SAFETY: with this flag the words are copied during the call.
        let result = unsafe { core::create_buffer(context, flags, RESULT, Some(&[0_u32; RESULT])) };
        let result = call("clCreateBuffer", result)?;
        let mut this = Self {
            kernel,
            result,
            queue,
            work_group,
            nonces_per_item,
            job: 0,
            flights: VecDeque::new(),
            calls_back: true,
        };
        this.set(argument::RESULT, ArgVal::mem(&this.result))?;
        this.set_nonces_per_item(nonces_per_item)?;
        Ok(this)
    }

    /// Changes how many nonces an item hashes, for the launches that follow.
    pub(super) fn set_nonces_per_item(&mut self, nonces_per_item: u32) -> Result<(), DeviceError> {
        self.nonces_per_item = nonces_per_item;
        self.set(argument::COUNT, ArgVal::scalar(&nonces_per_item))
    }

    fn set(&self, place: u32, value: ArgVal<'_>) -> Result<(), DeviceError> {
        call("clSetKernelArg", core::set_kernel_arg(&self.kernel, place, value))
    }

    /// Launches the kernel over so many items, and has its result read.
    fn launch(&mut self, items: usize) -> Result<(), DeviceError> {
        let group = [self.work_group as usize, 1, 1];
        // SAFETY: the kernel has been built from our text, all its arguments are set, and it writes to nothing but
        // `result`, which has the size that it counts on.
        let enqueued = unsafe {
            core::enqueue_kernel(
                &self.queue,
                &self.kernel,
                1,
                None,
                &[items, 1, 1],
                Some(group),
                None::<&Event>,
                None::<&mut Event>,
            )
        };
        call("clEnqueueNDRangeKernel", enqueued)?;

        let landing = Box::into_raw(Box::new([0; RESULT]));
        let mut event = Event::null();
        // SAFETY: the landing stays allocated until the event is complete, and for ever if that is not known; until then
        // nobody else touches it. The buffer has as many words.
        let enqueued = unsafe {
            core::enqueue_read_buffer(
                &self.queue,
                &self.result,
                false,
                0,
                &mut *landing,
                None::<&Event>,
                Some(&mut event),
            )
        };
        call("clEnqueueReadBuffer", enqueued)?;
        let end = Arc::<End>::default();
        self.flights.push_back(Flight { job: self.job, event, landing, end });
        Ok(())
    }

    /// Asks to be told of the end of the newest launch.
    fn ask_for_call_back(&self) -> Result<(), DeviceError> {
        let Some(flight) = self.flights.back() else { return Ok(()) };
        let end = Arc::into_raw(Arc::clone(&flight.end)).cast_mut().cast();
        let complete = CommandExecutionStatus::Complete;
        // SAFETY: `ended` takes over the reference to `end`, and the driver calls it once.
        let asked = unsafe { core::set_event_callback(&flight.event, complete, Some(ended), end) };
        call("clSetEventCallback", asked)
    }
}

impl Queue for DeviceQueue {
    fn take_up(&mut self, job: &Job) -> Result<(), DeviceError> {
        self.job = job.number;
        self.set(argument::JOB, ArgVal::scalar(&job.number))?;
        self.set(argument::THRESHOLD, ArgVal::scalar(&job.threshold.as_u64()))?;
        for (place, word) in (argument::CONSTANTS..).zip(Constants::of(&job.root).words) {
            self.set(place, ArgVal::scalar(&word))?;
        }
        Ok(())
    }

    fn enqueue(&mut self, start: Nonce, size: u64) -> Result<(), DeviceError> {
        self.set(argument::FIRST, ArgVal::scalar(&kernel::first_sum(start)))?;
        let items = usize::try_from(size / u64::from(self.nonces_per_item)).unwrap_or(usize::MAX);
        self.launch(items)?;
        if self.calls_back {
            self.ask_for_call_back()?;
        }
        // Without it, the driver may wait for more before it begins.
        call("clFlush", core::flush(&self.queue))
    }

    fn wait(&mut self) -> Result<Outcome, DeviceError> {
        let Some(Flight { job, event, landing, end }) = self.flights.pop_front() else {
            return Ok(Outcome { hit: None, finished: Instant::now() });
        };
        // Drivers that wait for an event may keep a core busy with it, so the launch's own word is waited for first.
        let told = if self.calls_back { end.wait(CALL_BACK) } else { None };
        call("clWaitForEvents", core::wait_for_event(&event))?;
        let finished = told.unwrap_or_else(Instant::now);
        if told.is_none() {
            self.calls_back = end.wait(CALL_BACK).is_some();
        }
        // SAFETY: it came from a box, and the event is complete, so nobody writes to it any more.
        let [found, low, high, _] = *unsafe { Box::from_raw(landing) };
        let nonce = u64::from(high) << 32 | u64::from(low);
        Ok(Outcome { hit: (found == job).then_some(Nonce::new(nonce)), finished })
    }

    fn granule(&self) -> u64 {
        u64::from(self.work_group) * u64::from(self.nonces_per_item)
    }
}

impl Drop for DeviceQueue {
    /// Waits for what is under way. Where that fails, the landings are left to it for ever.
    fn drop(&mut self) {
        while !self.flights.is_empty() {
            if self.wait().is_err() {
                return;
            }
        }
    }
}

impl End {
    /// When it was, if it is known within this time.
    fn wait(&self, patience: Duration) -> Option<Instant> {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.known.wait_timeout_while(at, patience, |at| at.is_none());
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Called by the driver, on a thread of its own or within the call that asked for it.
extern "C" fn ended(_: cl_event, _: i32, end: *mut c_void) {
    // SAFETY: it is the reference that `ask_for_call_back` gave away, once.
    let end = unsafe { Arc::from_raw(end.cast_const().cast::<End>()) };
    *end.at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    end.known.notify_all();
}
