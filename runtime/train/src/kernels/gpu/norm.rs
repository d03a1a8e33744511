//! BiasNorm and group norm on a GPU.

use candle_core::{CudaStorage, Layout, Result, Tensor};

use super::Argument::{Again, Number, Read, Size, Write};
use super::{Given, Gpu, Grid, Module, THREADS, Values, backward, forward, module, size};
use crate::kernels::norm::Norm;

const KERNELS: Module = module!("norm");

/// A block for each so many neighbouring values of a tensor, and the number of blocks.
///
/// # Errors
/// Beyond 2³² − 1 values.
fn blocks_of(width: usize, x: &Given<'_>) -> Result<(Grid, usize)> {
    size(x.values.len())?;
    let blocks = x.values.len().checked_div(width).unwrap_or(0);
    let threads = width.next_power_of_two().min(THREADS);
    Ok((Grid::of_blocks(blocks, threads).sharing(threads), blocks))
}

#[allow(clippy::cast_possible_truncation)]
impl Norm {
    /// The arguments of the operation → a tensor of the shape of `x`.
    pub(in crate::kernels) fn on_gpu(
        &self,
        arguments: [(&CudaStorage, &Layout); 3],
    ) -> Result<CudaStorage> {
        forward(arguments, |gpu, [x, a, b]| {
            let dim = a.values.len();
            let mut y = gpu.room(x.values.len())?;
            let mut arguments = vec![
                Read(&x.values),
                Read(&a.values),
                Read(&b.values),
                Write(&mut y),
            ];
            let (kernel, width) = match *self {
                Self::Bias { epsilon } => {
                    arguments.extend([Number(epsilon as f32), Size(size(dim)?)]);
                    ("norm_bias_forward", dim)
                }
                Self::Group { groups, epsilon } => {
                    let sizes = [Size(size(groups)?), Size(size(dim / groups)?)];
                    arguments.push(Number(epsilon as f32));
                    arguments.extend(sizes);
                    ("norm_group_forward", dim / groups)
                }
            };
            let (grid, _) = blocks_of(width, &x)?;
            gpu.launch(KERNELS, kernel, grid, &mut arguments)?;
            drop(arguments);
            Ok(y)
        })
    }

    /// The gradients of the three arguments.
    pub(in crate::kernels) fn back_on_gpu(
        &self,
        [x, a, b]: [&Tensor; 3],
        gradient: &Tensor,
    ) -> Result<[Tensor; 3]> {
        let dim = a.elem_count();
        let [dx, shared] = backward([x, a, b, gradient], |gpu, [x, a, b, g]| {
            let (dx, shared) = match *self {
                Self::Bias { epsilon } => bias_norm(gpu, [&x, &a, &b, &g], epsilon as f32)?,
                Self::Group { groups, epsilon } => {
                    group_norm(gpu, [&x, &a, &g], groups, epsilon as f32)?
                }
            };
            let columns = dim + b.values.len();
            Ok([(dx, x.dims.into()), (shared, columns.into())])
        })?;
        let da = shared.narrow(0, 0, dim)?.reshape(a.shape())?;
        let db = shared.narrow(0, dim, b.elem_count())?.reshape(b.shape())?;
        Ok([dx, da, db])
    }
}

/// The gradient of `x`, and those of the bias and `log_scale` behind each other.
fn bias_norm(
    gpu: &Gpu<'_>,
    [x, bias, log_scale, g]: [&Given<'_>; 4],
    epsilon: f32,
) -> Result<(Values, Values)> {
    let dim = bias.values.len();
    let (grid, rows) = blocks_of(dim, x)?;
    let (mut dx, mut of_rows) = (gpu.room(x.values.len())?, gpu.room(2 * rows)?);
    let arguments = &mut [
        Read(&x.values),
        Read(&bias.values),
        Read(&log_scale.values),
        Read(&g.values),
        Write(&mut dx),
        Write(&mut of_rows),
        Number(epsilon),
        Size(size(dim)?),
    ];
    gpu.launch(KERNELS, "norm_bias_backward", grid, arguments)?;
    let arguments = vec![Read(&x.values), Read(&bias.values), Again(&of_rows)];
    let kernel = "norm_bias_shared_gradients";
    let shared = gpu.column_sums(KERNELS, kernel, (rows, dim + 1), arguments)?;
    Ok((dx, shared))
}

/// The gradient of `x`, and those of the weight and bias behind each other.
fn group_norm(
    gpu: &Gpu<'_>,
    [x, weight, g]: [&Given<'_>; 3],
    groups: usize,
    epsilon: f32,
) -> Result<(Values, Values)> {
    let dim = weight.values.len();
    let (grid, blocks) = blocks_of(dim / groups, x)?;
    let (mut dx, mut of_groups) = (gpu.room(x.values.len())?, gpu.room(2 * blocks)?);
    let arguments = &mut [
        Read(&x.values),
        Read(&weight.values),
        Read(&g.values),
        Write(&mut dx),
        Write(&mut of_groups),
        Number(epsilon),
        Size(size(groups)?),
        Size(size(dim / groups)?),
    ];
    gpu.launch(KERNELS, "norm_group_backward", grid, arguments)?;
    let arguments = vec![
        Read(&x.values),
        Read(&g.values),
        Again(&of_groups),
        Size(size(groups)?),
    ];
    let kernel = "norm_group_shared_gradients";
    let shared = gpu.column_sums(KERNELS, kernel, (blocks / groups, 2 * dim), arguments)?;
    Ok((dx, shared))
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;

    use crate::kernels::gpu::tests::{agrees, normals, shows_nan};
    use crate::kernels::{bias_norm, group_norm};

    fn of_bias_norm(shape: &[usize]) -> [Tensor; 3] {
        let dim = *shape.last().unwrap();
        [
            (normals(shape, 1) + 0.5).unwrap(),
            normals(&[dim], 2),
            normals(&[], 3),
        ]
    }

    fn of_group_norm(shape: &[usize]) -> [Tensor; 3] {
        let dim = *shape.last().unwrap();
        [
            (normals(shape, 1) + 0.5).unwrap(),
            normals(&[dim], 2),
            normals(&[dim], 3),
        ]
    }

    /// Rows shorter and longer than a block, and more of them than a slice.
    const SHAPES: [&[usize]; 8] = [
        &[5, 1],
        &[1, 2],
        &[1, 1, 36],
        &[3, 5, 66],
        &[64, 20, 256],
        &[2, 300],
        &[3, 2050],
        &[2500, 34],
    ];

    #[test]
    fn bias_norm_is_the_cpus() {
        for shape in SHAPES {
            agrees(
                &format!("BiasNorm of {shape:?}"),
                &of_bias_norm(shape),
                1e-5,
                |a| bias_norm(&a[0], &a[1], &a[2], 1e-8),
            );
        }
        shows_nan("BiasNorm", &of_bias_norm(&[3, 5, 66]), |a| {
            bias_norm(&a[0], &a[1], &a[2], 1e-8)
        });
    }

    #[test]
    fn group_norm_is_the_cpus() {
        for shape in SHAPES {
            let dim = *shape.last().unwrap();
            for groups in [1, dim.min(2), dim.div_ceil(2)] {
                let name = format!("group norm of {shape:?}, {groups} groups");
                agrees(&name, &of_group_norm(shape), 1e-5, |a| {
                    group_norm(&a[0], &a[1], &a[2], groups, 1e-5)
                });
            }
        }
        shows_nan("group norm", &of_group_norm(&[3, 5, 66]), |a| {
            group_norm(&a[0], &a[1], &a[2], 3, 1e-5)
        });
    }

    #[test]
    fn norms_take_views() {
        let arguments = [
            normals(&[34, 5], 1),
            normals(&[34, 2], 2),
            normals(&[3, 34], 3),
        ];
        agrees("group norm of views", &arguments, 1e-5, |a| {
            group_norm(&a[0].t()?, &a[1].t()?.get(1)?, &a[2].get(2)?, 2, 1e-5)?.t()
        });
        agrees("BiasNorm of views", &arguments, 1e-5, |a| {
            bias_norm(&a[0].t()?, &a[1].t()?.get(1)?, &a[2].get(2)?.get(3)?, 1e-8)?.t()
        });
    }
}
