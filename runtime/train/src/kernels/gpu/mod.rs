//! Launching our kernels on an NVIDIA GPU.
//!
//! A kernel works on contiguous f32 values and is launched on candle's own stream, behind whatever
//! that stream was given before; nothing here waits for the device. The sources are
//! `kernels/cuda/*.cu`; each file here launches those of one of them.

use std::ops::Deref;

use candle_core::cuda_backend::cudarc::driver::result::{device as driver, mem_pool};
use candle_core::cuda_backend::cudarc::driver::sys::CUmemPool_attribute;
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaView, LaunchArgs, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::{CudaDevice, CudaStorage, CudaStorageSlice, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{DType, Device, Layout, Result, Shape, Storage, Tensor};

pub(crate) mod adamw;
mod bypass;
mod convolution;
mod dropout;
mod gate;
mod heads;
pub(super) mod linear;
pub(crate) mod loss;
mod matrix_memory;
pub(super) mod mixing;
mod norm;
pub(crate) mod pooling;
pub(crate) mod resample;
mod reverse;
mod scalar_memory;
mod selective_scan;
mod sums;
mod swoosh;
#[cfg(test)]
pub(super) mod tests;

/// Threads of a block where nothing speaks for another number.
pub(super) const THREADS: usize = 256;

const NULL: u64 = 0;

/// The compiled kernels of one source file.
#[derive(Clone, Copy)]
pub(super) struct Module {
    pub name: &'static str,
    pub ptx: &'static str,
}

/// The kernels of `cuda/<name>.cu`.
macro_rules! module {
    ($name:literal) => {
        $crate::kernels::gpu::Module {
            name: concat!("orze_", $name),
            ptx: include_str!(concat!(env!("OUT_DIR"), "/", $name, ".ptx")),
        }
    };
}
pub(super) use module;

/// Values on the device.
pub(super) type Values = CudaSlice<f32>;

/// An argument of an operation.
pub(super) struct Given<'a> {
    pub values: CudaView<'a, f32>,
    pub dims: &'a [usize],
}

/// An argument of a launch, in the order of the kernel's parameters.
pub(super) enum Argument<'a> {
    /// `const float *`.
    Read(&'a CudaView<'a, f32>),
    /// `const float *`, of what an earlier launch wrote.
    Again(&'a Values),
    /// `float *`.
    Write(&'a mut Values),
    /// `const unsigned *`.
    Counts(&'a CudaSlice<u32>),
    /// A pointer to nothing.
    Null,
    /// `unsigned`.
    Size(u32),
    /// `float`.
    Number(f32),
    /// The optimiser's table.
    Variables(&'a adamw::Variables),
}

/// How many threads a launch has, and how much memory they share.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub blocks: (usize, usize, usize),
    pub threads: (usize, usize, usize),
    /// f32 values that the threads of a block share.
    pub shared: usize,
}

impl Grid {
    /// A thread for each of so many entries, and some beyond the last.
    pub fn over(entries: usize) -> Self {
        Self::of_blocks(entries.div_ceil(THREADS), THREADS)
    }

    /// Blocks and threads in a row.
    pub fn of_blocks(blocks: usize, threads: usize) -> Self {
        Self {
            blocks: (blocks, 1, 1),
            threads: (threads, 1, 1),
            shared: 0,
        }
    }

    /// The same with memory for so many f32 values a block.
    pub fn sharing(self, shared: usize) -> Self {
        Self { shared, ..self }
    }
}

/// A GPU with one stream for all of the program's threads, whose driver keeps what is freed for the next
/// allocation.
///
/// Candle's own default is the stream of the calling thread, and nothing orders those: an optimiser on other
/// threads would read gradients that are still being computed.
///
/// # Errors
/// When there is no such device, or the driver refuses it.
#[allow(unsafe_code)]
pub(crate) fn open(ordinal: usize) -> Result<Device> {
    let device = Device::new_cuda_with_stream(ordinal)?;
    let gpu = device.as_cuda_device()?;
    // SAFETY: events order streams, and there is one; the driver keeps its work and its frees in order.
    // They would be four calls of the driver for each tensor.
    unsafe { gpu.disable_event_tracking() };
    let stream = gpu.cuda_stream();
    let context = stream.context();
    if context.has_async_alloc() {
        let mut threshold = u64::MAX;
        let attribute = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        // SAFETY: the context's own device, and the attribute's type.
        unsafe {
            let pool = driver::get_default_mem_pool(context.cu_device()).w()?;
            mem_pool::set_attribute(pool, attribute, (&raw mut threshold).cast()).w()?;
        }
    }
    Ok(device)
}

/// Whether the kernels can be used on this tensor.
pub(crate) fn applies_to(x: &Tensor) -> bool {
    x.device().is_cuda() && x.dtype() == DType::F32
}

/// A size as kernels take it.
///
/// # Errors
/// Beyond 2³² − 1.
pub(super) fn size(size: usize) -> Result<u32> {
    u32::try_from(size)
        .map_err(|_| candle_core::Error::msg(format!("{size} is too large for a kernel")))
}

/// Sizes as arguments of a launch.
///
/// # Errors
/// Beyond 2³² − 1.
pub(super) fn sizes<'a, const N: usize>(sizes: [usize; N]) -> Result<Vec<Argument<'a>>> {
    sizes
        .into_iter()
        .map(|entry| Ok(Argument::Size(size(entry)?)))
        .collect()
}

/// A device that kernels are launched on.
pub(super) struct Gpu<'a> {
    device: &'a CudaDevice,
}

impl Gpu<'_> {
    /// Room for so many values, which are whatever was there before: a launch must write all of them.
    ///
    /// # Errors
    /// When the device has no memory left.
    #[allow(unsafe_code)]
    pub fn room(&self, count: usize) -> Result<Values> {
        // The driver gives no memory of no bytes.
        // SAFETY: every bit pattern is an f32; a kernel writes all entries before they are read.
        unsafe { self.device.alloc::<f32>(count.max(1)) }
    }

    /// Small whole numbers on the device.
    ///
    /// # Errors
    /// Beyond 2³² − 1, and when the device has no memory left.
    pub fn counts(&self, counts: &[usize]) -> Result<CudaSlice<u32>> {
        let counts: Vec<u32> = counts.iter().map(|&n| size(n)).collect::<Result<_>>()?;
        self.device.clone_htod(&counts)
    }

    /// A table of values on the device.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn table(&self, values: &[f32]) -> Result<Values> {
        self.device.clone_htod(values)
    }

    /// Starts a kernel behind what the stream was given before; nothing is done without blocks.
    ///
    /// # Errors
    /// When the driver refuses it.
    #[allow(unsafe_code)]
    pub fn launch(
        &self,
        module: Module,
        kernel: &str,
        grid: Grid,
        arguments: &mut [Argument<'_>],
    ) -> Result<()> {
        let ((bx, by, bz), (tx, ty, tz)) = (grid.blocks, grid.threads);
        if bx * by * bz == 0 {
            return Ok(());
        }
        let config = LaunchConfig {
            grid_dim: (size(bx)?, size(by)?, size(bz)?),
            block_dim: (size(tx)?, size(ty)?, size(tz)?),
            shared_mem_bytes: size(grid.shared * size_of::<f32>())?,
        };
        let device = self.device;
        let function = device.get_or_load_custom_func(kernel, module.name, module.ptx)?;
        let mut launch: LaunchArgs<'_> = function.builder();
        for argument in arguments {
            match argument {
                Argument::Read(view) => launch.arg(*view),
                Argument::Again(values) => launch.arg(*values),
                Argument::Write(values) => launch.arg(&mut **values),
                Argument::Counts(counts) => launch.arg(*counts),
                Argument::Variables(table) => launch.arg(*table),
                Argument::Null => launch.arg(&NULL),
                Argument::Size(size) => launch.arg(&*size),
                Argument::Number(number) => launch.arg(&*number),
            };
        }
        // SAFETY: each caller passes the parameters of its kernel in order, with buffers of the
        // sizes that it was told; this is what the tests on the emulated GPU check, entry by entry.
        unsafe { launch.launch(config) }.w()?;
        Ok(())
    }
}

/// The forward pass of an operation: the arguments' values in, the result's out.
///
/// # Errors
/// When an argument is not contiguous, and those of `compute`.
pub(super) fn forward<const N: usize>(
    arguments: [(&CudaStorage, &Layout); N],
    compute: impl FnOnce(&Gpu<'_>, [Given<'_>; N]) -> Result<Values>,
) -> Result<CudaStorage> {
    let device = arguments[0].0.device.clone();
    let mut given = Vec::with_capacity(N);
    for (storage, layout) in arguments {
        given.push(view(storage, layout)?);
    }
    let values = compute(&Gpu { device: &device }, exactly(given)?)?;
    Ok(CudaStorage::wrap_cuda_slice(values, device))
}

/// A step of a backward pass: tensors' values in, gradients with their shapes out.
///
/// # Errors
/// When a tensor is not contiguous or not on a GPU, and those of `compute`.
pub(super) fn backward<const N: usize, const M: usize>(
    arguments: [&Tensor; N],
    compute: impl FnOnce(&Gpu<'_>, [Given<'_>; N]) -> Result<[(Values, Shape); M]>,
) -> Result<[Tensor; M]> {
    let device = arguments[0].device().as_cuda_device()?.clone();
    let held = arguments.map(Tensor::storage_and_layout);
    let mut given = Vec::with_capacity(N);
    for (storage, layout) in &held {
        let Storage::Cuda(storage) = storage.deref() else {
            candle_core::bail!("a GPU's kernel was given a tensor of another device");
        };
        given.push(view(storage, layout)?);
    }
    let gradients = compute(&Gpu { device: &device }, exactly(given)?)?;
    Ok(gradients.map(|(values, shape)| {
        let storage = CudaStorage::wrap_cuda_slice(values, device.clone());
        Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
    }))
}

fn exactly<const N: usize>(given: Vec<Given<'_>>) -> Result<[Given<'_>; N]> {
    let missing = |_| candle_core::Error::msg("an argument of a kernel is missing");
    given.try_into().map_err(missing)
}

fn view<'a>(storage: &'a CudaStorage, layout: &'a Layout) -> Result<Given<'a>> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a kernel was given a tensor that is not contiguous");
    };
    let CudaStorageSlice::F32(slice) = &storage.slice else {
        candle_core::bail!("a GPU's kernel was given values that are not f32");
    };
    Ok(Given {
        values: slice.slice(start..end),
        dims: layout.dims(),
    })
}
