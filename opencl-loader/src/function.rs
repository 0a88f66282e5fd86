//! OpenCL's functions. Each has the types that `cl-sys` declares for it, which the compiler checks, and calls the library's.
//!
//! # Source
//! The OpenCL specification, version 1.2, sections 4 and 5.
#![expect(unsafe_code, reason = "these are the functions of a C library, under its names")]

use core::ptr::null_mut;
use std::sync::OnceLock;

use cl_sys::{
    c_char, c_uchar, c_void, cl_addressing_mode, cl_bool, cl_command_queue, cl_command_queue_info,
    cl_command_queue_properties, cl_context, cl_context_info, cl_context_properties, cl_device_id,
    cl_device_info, cl_device_type, cl_event, cl_event_info, cl_filter_mode, cl_image_info, cl_int,
    cl_kernel, cl_kernel_arg_info, cl_kernel_info, cl_kernel_work_group_info, cl_mem, cl_mem_flags,
    cl_mem_info, cl_platform_id, cl_platform_info, cl_profiling_info, cl_program, cl_program_build_info,
    cl_program_info, cl_sampler, cl_sampler_info, cl_uint, size_t,
};

use crate::code::{self, MISSING_FUNCTION, PLATFORM_NOT_FOUND};
use crate::library;

/// The library's function of this name, if it has it, as a pointer of this type, which is that of `cl-sys`.
macro_rules! function {
    ($name:ident: $type:ty) => {{
        const _: $type = cl_sys::$name;
        static SLOT: OnceLock<Option<$type>> = OnceLock::new();
        // SAFETY: the type is the one that `cl-sys` declares, or this would not compile.
        unsafe { library::function(&SLOT, stringify!($name)) }
    }};
}

/// Functions that answer with a status.
macro_rules! status {
    ($(fn $name:ident($($argument:ident: $type:ty),*);)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "system" fn $name($($argument: $type),*) -> cl_int {
            match function!($name: unsafe extern "system" fn($($type),*) -> cl_int) {
                // SAFETY: the caller keeps to what OpenCL asks of it, and the arguments are passed on as they are.
                Some(function) => code::known(stringify!($name), unsafe { function($($argument),*) }),
                None => MISSING_FUNCTION,
            }
        }
    )*};
}

/// Functions that answer with an object, and with a status through their last argument.
macro_rules! create {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $object:ty;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "system" fn $name($($argument: $type,)* errcode_ret: *mut cl_int) -> $object {
            let mut status = MISSING_FUNCTION;
            let object = match function!(
                $name: unsafe extern "system" fn($($type,)* *mut cl_int) -> $object
            ) {
                // SAFETY: as in `status`; the status is ours.
                Some(function) => unsafe { function($($argument,)* &raw mut status) },
                None => null_mut(),
            };
            if !errcode_ret.is_null() {
                // SAFETY: OpenCL takes a null pointer, or one that a status can be written to.
                unsafe { *errcode_ret = code::known(stringify!($name), status) };
            }
            object
        }
    )*};
}

/// Functions that release an object. Where one fails there is nothing to be done.
macro_rules! release {
    ($(fn $name:ident($object:ty);)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "system" fn $name(object: $object) -> cl_int {
            if let Some(function) = function!($name: unsafe extern "system" fn($object) -> cl_int) {
                // SAFETY: as in `status`.
                let _ = unsafe { function(object) };
            }
            cl_sys::CL_SUCCESS
        }
    )*};
}

/// Without a library, and with one that has no platform, there are none.
#[unsafe(no_mangle)]
unsafe extern "system" fn clGetPlatformIDs(
    num_entries: cl_uint,
    platforms: *mut cl_platform_id,
    num_platforms: *mut cl_uint,
) -> cl_int {
    let status = if library::is_open() {
        match function!(clGetPlatformIDs: unsafe extern "system" fn(cl_uint, *mut cl_platform_id, *mut cl_uint) -> cl_int)
        {
            // SAFETY: as in `status`.
            Some(function) => unsafe { function(num_entries, platforms, num_platforms) },
            None => MISSING_FUNCTION,
        }
    } else {
        PLATFORM_NOT_FOUND
    };
    if status != PLATFORM_NOT_FOUND {
        return code::known("clGetPlatformIDs", status);
    }
    if !num_platforms.is_null() {
        // SAFETY: OpenCL takes a null pointer, or one that a number can be written to.
        unsafe { *num_platforms = 0 };
    }
    cl_sys::CL_SUCCESS
}

/// `ocl` takes the number of devices for the number that was written, which is at most as many as it has room for.
#[unsafe(no_mangle)]
unsafe extern "system" fn clGetDeviceIDs(
    platform: cl_platform_id,
    device_type: cl_device_type,
    num_entries: cl_uint,
    devices: *mut cl_device_id,
    num_devices: *mut cl_uint,
) -> cl_int {
    let Some(function) = function!(
        clGetDeviceIDs: unsafe extern "system" fn(
            cl_platform_id, cl_device_type, cl_uint, *mut cl_device_id, *mut cl_uint
        ) -> cl_int
    ) else {
        return MISSING_FUNCTION;
    };
    // SAFETY: as in `status`.
    let status = unsafe { function(platform, device_type, num_entries, devices, num_devices) };
    if !devices.is_null() && !num_devices.is_null() {
        // SAFETY: a number can be written to it, and has been.
        unsafe { *num_devices = (*num_devices).min(num_entries) };
    }
    code::known("clGetDeviceIDs", status)
}

/// Answers with no status: what is not there is a null pointer.
#[unsafe(no_mangle)]
unsafe extern "system" fn clGetExtensionFunctionAddressForPlatform(
    platform: cl_platform_id,
    func_name: *const c_char,
) -> *mut c_void {
    match function!(
        clGetExtensionFunctionAddressForPlatform:
            unsafe extern "system" fn(cl_platform_id, *const c_char) -> *mut c_void
    ) {
        // SAFETY: as in `status`.
        Some(function) => unsafe { function(platform, func_name) },
        None => null_mut(),
    }
}

create! {
    fn clCreateBuffer(
        context: cl_context,
        flags: cl_mem_flags,
        size: size_t,
        host_ptr: *mut c_void
    ) -> cl_mem;
    fn clCreateCommandQueue(
        context: cl_context,
        device: cl_device_id,
        properties: cl_command_queue_properties
    ) -> cl_command_queue;
    fn clCreateContext(
        properties: *const cl_context_properties,
        num_devices: cl_uint,
        devices: *const cl_device_id,
        pfn_notify: Option<extern "C" fn(*const c_char, *const c_void, size_t, *mut c_void)>,
        user_data: *mut c_void
    ) -> cl_context;
    fn clCreateKernel(program: cl_program, kernel_name: *const c_char) -> cl_kernel;
    fn clCreateProgramWithBinary(
        context: cl_context,
        num_devices: cl_uint,
        device_list: *const cl_device_id,
        lengths: *const size_t,
        binaries: *const *const c_uchar,
        binary_status: *mut cl_int
    ) -> cl_program;
    fn clCreateProgramWithSource(
        context: cl_context,
        count: cl_uint,
        strings: *const *const c_char,
        lengths: *const size_t
    ) -> cl_program;
    fn clCreateSampler(
        context: cl_context,
        normalize_coords: cl_bool,
        addressing_mode: cl_addressing_mode,
        filter_mode: cl_filter_mode
    ) -> cl_sampler;
}

release! {
    fn clReleaseCommandQueue(cl_command_queue);
    fn clReleaseContext(cl_context);
    fn clReleaseDevice(cl_device_id);
    fn clReleaseEvent(cl_event);
    fn clReleaseKernel(cl_kernel);
    fn clReleaseMemObject(cl_mem);
    fn clReleaseProgram(cl_program);
    fn clReleaseSampler(cl_sampler);
}

status! {
    fn clBuildProgram(
        program: cl_program,
        num_devices: cl_uint,
        device_list: *const cl_device_id,
        options: *const c_char,
        pfn_notify: Option<extern "C" fn(cl_program, *mut c_void)>,
        user_data: *mut c_void
    );
    fn clEnqueueMarkerWithWaitList(
        command_queue: cl_command_queue,
        num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event,
        event: *mut cl_event
    );
    fn clEnqueueNDRangeKernel(
        command_queue: cl_command_queue,
        kernel: cl_kernel,
        work_dim: cl_uint,
        global_work_offset: *const size_t,
        global_work_dims: *const size_t,
        local_work_dims: *const size_t,
        num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event,
        event: *mut cl_event
    );
    fn clEnqueueReadBuffer(
        command_queue: cl_command_queue,
        buffer: cl_mem,
        blocking_read: cl_bool,
        offset: size_t,
        cb: size_t,
        ptr: *mut c_void,
        num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event,
        event: *mut cl_event
    );
    fn clFinish(command_queue: cl_command_queue);
    fn clFlush(command_queue: cl_command_queue);
    fn clGetCommandQueueInfo(
        command_queue: cl_command_queue,
        param_name: cl_command_queue_info,
        param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    );
    fn clGetContextInfo(
        context: cl_context,
        param_name: cl_context_info,
        param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    );
    fn clGetDeviceInfo(
        device: cl_device_id,
        param_name: cl_device_info,
        param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    );
    fn clGetEventInfo(
        event: cl_event,
        param_name: cl_event_info,
        param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    );
    fn clGetEventProfilingInfo(
        event: cl_event,
        param_name: cl_profiling_info,
        param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    );
    fn clGetImageInfo(
        image: cl_mem,
        param_name: cl_image_info,
        param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    );
    fn clGetKernelArgInfo(
        kernel: cl_kernel,
        arg_indx: cl_uint,
        param_name: cl_kernel_arg_info,
        param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    );
    fn clGetKernelInfo(
        kernel: cl_kernel,
        param_name: cl_kernel_info,
        param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    );
    fn clGetKernelWorkGroupInfo(
        kernel: cl_kernel,
        device: cl_device_id,
        param_name: cl_kernel_work_group_info,
        param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    );
    fn clGetMemObjectInfo(
        memobj: cl_mem,
        param_name: cl_mem_info,
        param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    );
    fn clGetPlatformInfo(
        platform: cl_platform_id,
        param_name: cl_platform_info,
        param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    );
    fn clGetProgramBuildInfo(
        program: cl_program,
        device: cl_device_id,
        param_name: cl_program_build_info,
        param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    );
    fn clGetProgramInfo(
        program: cl_program,
        param_name: cl_program_info,
        param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    );
    fn clGetSamplerInfo(
        sampler: cl_sampler,
        param_name: cl_sampler_info,
        param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    );
    fn clRetainCommandQueue(command_queue: cl_command_queue);
    fn clRetainContext(context: cl_context);
    fn clRetainDevice(device: cl_device_id);
    fn clRetainEvent(event: cl_event);
    fn clRetainKernel(kernel: cl_kernel);
    fn clRetainMemObject(memobj: cl_mem);
    fn clRetainProgram(program: cl_program);
    fn clRetainSampler(sampler: cl_sampler);
    fn clSetEventCallback(
        event: cl_event,
        command_exec_callback_type: cl_int,
        pfn_notify: Option<extern "C" fn(cl_event, cl_int, *mut c_void)>,
        user_data: *mut c_void
    );
    fn clSetKernelArg(kernel: cl_kernel, arg_index: cl_uint, arg_size: size_t, arg_value: *const c_void);
    fn clSetUserEventStatus(event: cl_event, execution_status: cl_int);
    fn clWaitForEvents(num_events: cl_uint, event_list: *const cl_event);
}
