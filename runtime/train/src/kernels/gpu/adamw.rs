//! AdamW on a GPU: all variables in a launch or two, and nothing waits for the norm of the gradients.

use candle_core::cuda_backend::cudarc::driver::{DevicePtr, DeviceRepr};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Result, Storage, Tensor};

use super::Argument::{Again, Number, Read, Size, Write};
use super::{Argument, Gpu, Grid, Module, THREADS, module, size, view};

const KERNELS: Module = module!("adamw");
/// Variables of a launch, as in the kernels.
const VARIABLES: usize = 96;
/// Entries of a block, as in the kernels.
const PIECE: usize = 4096;

/// The table of a launch's variables, as in the kernels; addresses are of the device.
#[repr(C)]
pub(in crate::kernels) struct Variables {
    weights: [u64; VARIABLES],
    moments: [u64; VARIABLES],
    gradients: [u64; VARIABLES],
    count: [u32; VARIABLES],
    first: [u32; VARIABLES],
    kept: [f32; VARIABLES],
    number: u32,
}

// SAFETY: laid out as the kernels' struct, of plain numbers and addresses.
#[allow(unsafe_code)]
unsafe impl DeviceRepr for Variables {}

/// One variable with what its step needs; all contiguous f32 on one GPU.
pub(crate) struct Step<'a> {
    pub weights: &'a Tensor,
    /// `[2, elements]`.
    pub moments: &'a Tensor,
    pub gradient: &'a Tensor,
    /// What weight decay leaves of the weights.
    pub kept: f64,
}

/// What is the same for all variables.
pub(crate) struct StepConfig {
    pub beta1: f64,
    pub beta2: f64,
    /// With the correction of the first moment.
    pub rate: f64,
    /// Of the second moment.
    pub correction: f64,
    pub epsilon: f64,
    /// Gradients whose norm is larger are scaled down to it; 0 is no limit.
    pub limit: f64,
}

/// The Euclidean norm of all gradients together, a scalar of f32 that nobody waited for.
///
/// # Errors
/// When a gradient is not contiguous f32 on a GPU, and when the device has no memory left.
pub(crate) fn norm(gradients: &[&Tensor]) -> Result<Tensor> {
    let Some(first) = gradients.first() else {
        candle_core::bail!("the norm of no gradients");
    };
    let device = first.device().as_cuda_device()?.clone();
    let gpu = Gpu { device: &device };
    let blocks: usize = gradients.iter().map(|g| blocks(g)).sum();
    let (mut sums, mut norm) = (gpu.room(blocks)?, gpu.room(1)?);
    let mut before = 0;
    for gradients in gradients.chunks(VARIABLES) {
        let entries = gradients.iter().map(|&gradient| Entry {
            gradient,
            step: None,
        });
        before += in_table(&gpu, entries, |table, blocks| {
            let grid = Grid::of_blocks(blocks, THREADS).sharing(THREADS);
            let arguments = &mut [
                Argument::Variables(table),
                Write(&mut sums),
                Size(size(before)?),
            ];
            gpu.launch(KERNELS, "adamw_squares", grid, arguments)
        })?;
    }
    let grid = Grid::of_blocks(1, THREADS).sharing(THREADS);
    let arguments = &mut [Again(&sums), Write(&mut norm), Size(size(blocks)?)];
    gpu.launch(KERNELS, "adamw_norm", grid, arguments)?;
    let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(norm, device));
    Ok(Tensor::from_storage(storage, (), BackpropOp::none(), false))
}

/// Steps all variables in place, under the norm that [`norm`] gave.
///
/// # Errors
/// When a tensor is not contiguous f32 on a GPU.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn update(steps: &[Step<'_>], norm: &Tensor, config: &StepConfig) -> Result<()> {
    let device = norm.device().as_cuda_device()?.clone();
    let gpu = Gpu { device: &device };
    let (held, layout) = norm.storage_and_layout();
    let norm = view(on_gpu(&held)?, layout)?;
    for steps in steps.chunks(VARIABLES) {
        let entries = steps.iter().map(|step| Entry {
            gradient: step.gradient,
            step: Some(step),
        });
        in_table(&gpu, entries, |table, blocks| {
            let arguments = &mut [
                Argument::Variables(table),
                Read(&norm.values),
                Number(config.limit as f32),
                Number(config.beta1 as f32),
                Number(config.beta2 as f32),
                Number(config.rate as f32),
                Number(config.correction.recip() as f32),
                Number(config.epsilon as f32),
            ];
            let grid = Grid::of_blocks(blocks, THREADS);
            gpu.launch(KERNELS, "adamw_update", grid, arguments)
        })?;
    }
    Ok(())
}

/// A row of the table; the norm needs the gradient alone.
struct Entry<'a> {
    gradient: &'a Tensor,
    step: Option<&'a Step<'a>>,
}

fn blocks(gradient: &Tensor) -> usize {
    gradient.elem_count().div_ceil(PIECE)
}

fn on_gpu(storage: &Storage) -> Result<&CudaStorage> {
    match storage {
        Storage::Cuda(storage) => Ok(storage),
        _ => candle_core::bail!("a GPU's kernel was given a tensor of another device"),
    }
}

/// Calls `launch` with the table of at most [`VARIABLES`] entries and the number of their blocks,
/// which it gives back; the tensors are held meanwhile.
fn in_table<'a>(
    gpu: &Gpu<'_>,
    entries: impl Iterator<Item = Entry<'a>>,
    launch: impl FnOnce(&Variables, usize) -> Result<()>,
) -> Result<usize> {
    let stream = gpu.device.cuda_stream();
    let mut table = Variables {
        weights: [0; VARIABLES],
        moments: [0; VARIABLES],
        gradients: [0; VARIABLES],
        count: [0; VARIABLES],
        first: [0; VARIABLES],
        kept: [0.0; VARIABLES],
        number: 0,
    };
    let (mut held, mut total) = (Vec::new(), 0);
    for (row, entry) in entries.enumerate() {
        let count = entry.gradient.elem_count();
        let mut address = |tensor: &'a Tensor, values: usize| -> Result<u64> {
            let (storage, layout) = tensor.storage_and_layout();
            let given = view(on_gpu(&storage)?, layout)?;
            if given.values.len() != values {
                candle_core::bail!("{:?} has not {values} values", given.dims);
            }
            let address = given.values.device_ptr(&stream).0;
            held.push(storage);
            Ok(address)
        };
        table.gradients[row] = address(entry.gradient, count)?;
        if let Some(step) = entry.step {
            table.weights[row] = address(step.weights, count)?;
            table.moments[row] = address(step.moments, 2 * count)?;
            #[allow(clippy::cast_possible_truncation)]
            let kept = step.kept as f32;
            table.kept[row] = kept;
        }
        (table.count[row], table.first[row]) = (size(count)?, size(total)?);
        table.number = size(row + 1)?;
        total += blocks(entry.gradient);
    }
    launch(&table, total)?;
    drop(held);
    Ok(total)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor, Var};

    use crate::optimiser::{AdamW, AdamWConfig};
    use crate::threads::Threads;

    /// Three clipped steps of a hundred variables, of none to thousands of entries, on both devices.
    #[test]
    fn steps_are_those_of_the_cpu() {
        let gpu = Device::new_cuda(0).unwrap();
        let wave =
            |count: usize, phase: f32| (0..count).map(move |i| (i as f32 * 0.37 + phase).sin());
        let counts: Vec<usize> = (0..100)
            .map(|i| [1, 7, 300, 4096, 5000][i % 5] + i)
            .collect();
        let (threads, config) = (
            Threads::default(),
            AdamWConfig {
                weight_decay: 0.1,
                ..AdamWConfig::default()
            },
        );
        let ends = [Device::Cpu, gpu].map(|device| {
            let variables: Vec<Var> = counts
                .iter()
                .map(|&count| {
                    let values: Vec<f32> = wave(count, 0.5).collect();
                    Var::from_vec(values, count, &device).unwrap()
                })
                .collect();
            let decays = |variable: &Var| variable.elem_count().is_multiple_of(2);
            let mut optimiser = AdamW::new(variables.clone(), config, decays).unwrap();
            let mut norms = Vec::new();
            for step in 0..3 {
                let terms = variables.iter().enumerate().map(|(i, variable)| {
                    let slopes = wave(counts[i], (step * 100 + i) as f32).collect::<Vec<_>>();
                    let slopes = Tensor::from_vec(slopes, counts[i], &device).unwrap();
                    (variable.as_tensor() * slopes).unwrap().sum_all().unwrap()
                });
                let loss = Tensor::stack(&terms.collect::<Vec<_>>(), 0).unwrap();
                let gradients = loss.sum_all().unwrap().backward().unwrap();
                let gradients = optimiser.gradients(vec![gradients], &threads).unwrap();
                norms.push(gradients.norm().unwrap());
                // The second step is not clipped.
                let limit = [1.0, 1e6, 0.0][step];
                optimiser.step(&gradients, 0.01, limit, &threads).unwrap();
            }
            let values = variables
                .iter()
                .flat_map(|variable| variable.to_vec1::<f32>().unwrap());
            (values.collect::<Vec<_>>(), norms)
        });
        let [(cpu, cpu_norms), (gpu, gpu_norms)] = ends;
        for (cpu, gpu) in cpu.iter().zip(&gpu) {
            assert!(
                (cpu - gpu).abs() < 1e-6,
                "{cpu} on the CPU, {gpu} on the GPU"
            );
        }
        for (cpu, gpu) in cpu_norms.iter().zip(&gpu_norms) {
            assert!(
                (cpu / gpu - 1.0).abs() < 1e-5,
                "norm {cpu}, on the GPU {gpu}"
            );
        }
    }
}
