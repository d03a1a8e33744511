//! Depthwise convolution over time on a GPU.

use candle_core::{CudaStorage, Layout, Result, Tensor};

use super::Argument::{Read, Size, Write};
use super::{Grid, Module, backward, forward, module, size};
use crate::kernels::convolution::DepthwiseConv1d;

const KERNELS: Module = module!("convolution");

/// Channels and rows of a block.
const CHANNELS: usize = 32;
const ROWS: usize = 8;

/// A thread for each channel of each row, and some beyond the last.
fn grid(rows: usize, dim: usize) -> Grid {
    Grid {
        threads: (CHANNELS, ROWS, 1),
        ..Grid::of_blocks(dim.div_ceil(CHANNELS) * rows.div_ceil(ROWS), 1)
    }
}

impl DepthwiseConv1d {
    /// `x` `[batch, time, dim]`, `weight` `[dim, 1, kernel]` and `bias` `[dim]` → the shape of `x`.
    pub(in crate::kernels) fn on_gpu(
        &self,
        arguments: [(&CudaStorage, &Layout); 3],
    ) -> Result<CudaStorage> {
        forward(arguments, |gpu, [x, weight, bias]| {
            let [batch, time, dim] = [x.dims[0], x.dims[1], x.dims[2]];
            let rows = batch * time;
            size(rows * dim)?;
            let mut y = gpu.room(rows * dim)?;
            let arguments = &mut [
                Read(&x.values),
                Read(&weight.values),
                Read(&bias.values),
                Write(&mut y),
                Size(size(rows)?),
                Size(size(time)?),
                Size(size(dim)?),
                Size(size(weight.dims[2])?),
                Size(size(self.before)?),
            ];
            gpu.launch(KERNELS, "convolution_forward", grid(rows, dim), arguments)?;
            Ok(y)
        })
    }

    /// The gradients of `x`, the weight and the bias.
    pub(in crate::kernels) fn back_on_gpu(
        &self,
        x: &Tensor,
        weight: &Tensor,
        gradient: &Tensor,
    ) -> Result<[Tensor; 3]> {
        let (batch, time, dim) = x.dims3()?;
        let (rows, kernel) = (batch * time, weight.dim(2)?);
        let [dx, shared] = backward([x, weight, gradient], |gpu, [x, weight, g]| {
            size(rows * dim)?;
            let mut dx = gpu.room(rows * dim)?;
            let (time, channels) = (size(time)?, size(dim)?);
            let (taps, before) = (size(kernel)?, size(self.before)?);
            let arguments = &mut [
                Read(&g.values),
                Read(&weight.values),
                Write(&mut dx),
                Size(size(rows)?),
                Size(time),
                Size(channels),
                Size(taps),
                Size(before),
            ];
            gpu.launch(KERNELS, "convolution_backward", grid(rows, dim), arguments)?;
            let arguments = vec![
                Read(&x.values),
                Read(&g.values),
                Size(time),
                Size(channels),
                Size(taps),
                Size(before),
            ];
            let columns = dim * (kernel + 1);
            let name = "convolution_shared_gradients";
            let shared = gpu.column_sums(KERNELS, name, (rows, columns), arguments)?;
            Ok([(dx, x.dims.into()), (shared, columns.into())])
        })?;
        let dweight = shared.narrow(0, 0, dim * kernel)?.reshape(weight.shape())?;
        let dbias = shared.narrow(0, dim * kernel, dim)?;
        Ok([dx, dweight, dbias])
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use crate::kernels::depthwise_conv1d;
    use crate::kernels::gpu::tests::{agrees, normals, shows_nan};

    fn arguments([batch, time, dim]: [usize; 3], kernel: usize) -> [Tensor; 3] {
        [
            normals(&[batch, time, dim], 1),
            normals(&[dim, 1, kernel], 2),
            normals(&[dim], 3),
        ]
    }

    /// Clips shorter than a filter, filters of more taps than a block shares, channels that fill no
    /// block, more rows than a slice.
    #[test]
    fn convolution_is_the_cpus() {
        for (shape, kernel) in [
            ([1, 1, 1], 1),
            ([1, 1, 5], 7),
            ([2, 3, 33], 31),
            ([3, 20, 64], 31),
            ([2, 50, 35], 70),
            ([9, 300, 2], 4),
            ([2, 7, 300], 33),
        ] {
            for before in [0, kernel / 2, kernel - 1] {
                let name = format!("convolution of {shape:?}, kernel {kernel}, {before} before");
                agrees(&name, &arguments(shape, kernel), 1e-5, |a| {
                    depthwise_conv1d(&a[0], &a[1], &a[2], before)
                });
            }
        }
        shows_nan("convolution", &arguments([2, 9, 33], 5), |a| {
            depthwise_conv1d(&a[0], &a[1], &a[2], 2)
        });
    }

    #[test]
    fn convolution_takes_views() {
        let arguments = [
            normals(&[3, 35, 8], 1),
            normals(&[5, 1, 35], 2),
            normals(&[35, 2], 3),
        ];
        agrees("convolution of views", &arguments, 1e-5, |a| {
            let weight = a[1].transpose(0, 2)?;
            let bias = a[2].t()?.get(1)?;
            depthwise_conv1d(&a[0].transpose(1, 2)?, &weight, &bias, 2)?.transpose(1, 2)
        });
    }

    #[test]
    fn misfits_are_refused() {
        let gpu = Device::new_cuda(0).unwrap();
        let [x, weight, bias] =
            arguments([2, 4, 6], 3).map(|tensor| tensor.to_device(&gpu).unwrap());
        let fewer = bias.narrow(0, 0, 5).unwrap();
        assert!(depthwise_conv1d(&x, &weight, &fewer, 1).is_err());
        assert!(depthwise_conv1d(&x, &weight, &bias, 3).is_err());
        assert!(depthwise_conv1d(&x, &weight, &bias, 2).is_ok());
    }
}
