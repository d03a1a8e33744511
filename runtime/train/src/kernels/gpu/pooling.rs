//! Attention pooling on a GPU: a block a clip.

use candle_core::{CpuStorage, CudaStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::Argument::{Again, Read, Size, Write};
use super::{Grid, Module, THREADS, backward, forward, module, size};
use crate::kernels::misfit;

const KERNELS: Module = module!("pooling");

struct AttentionPooling {
    masked: bool,
}

/// The frames of each clip weighted by the softmax over time of `x · probe` plus `penalty`; `x`
/// `[batch, time, dim]`, `probe` `[dim]`, `penalty` `[batch, time]` → `[batch, dim]`. The penalty gets no
/// gradient.
///
/// # Errors
/// When the shapes don't fit.
pub fn attention_pooling(x: &Tensor, probe: &Tensor, penalty: Option<&Tensor>) -> Result<Tensor> {
    let (batch, time, dim) = x.dims3()?;
    let fits = penalty.is_none_or(|penalty| penalty.dims() == [batch, time]);
    if probe.dims() != [dim] || time == 0 || !fits {
        return Err(misfit("attention-pooling", x.dims(), probe.dims()));
    }
    let probe = probe.contiguous()?;
    let masked = penalty.is_some();
    // An argument that nobody reads stands for no penalty.
    let penalty = penalty.map_or_else(|| Ok(probe.detach()), Tensor::contiguous)?;
    x.contiguous()?
        .apply_op3(&probe, &penalty, AttentionPooling { masked })
}

impl CustomOp3 for AttentionPooling {
    fn name(&self) -> &'static str {
        "attention-pooling"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        candle_core::bail!("the fused pooling is a GPU's")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        probe: &CudaStorage,
        pl: &Layout,
        penalty: &CudaStorage,
        nl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (batch, time, dim) = xl.shape().dims3()?;
        let arguments = [(x, xl), (probe, pl), (penalty, nl)];
        let y = forward(arguments, |gpu, [x, probe, penalty]| {
            let (mut weights, mut y) = (gpu.room(batch * time)?, gpu.room(batch * dim)?);
            let arguments = &mut [
                Read(&x.values),
                Read(&probe.values),
                Read(&penalty.values),
                Write(&mut weights),
                Write(&mut y),
                Size(u32::from(self.masked)),
                Size(size(time)?),
                Size(size(dim)?),
            ];
            let grid = Grid::of_blocks(batch, THREADS).sharing(THREADS);
            gpu.launch(KERNELS, "pooling_forward", grid, arguments)?;
            Ok(y)
        })?;
        Ok((y, (batch, dim).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        probe: &Tensor,
        penalty: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, time, dim) = x.dims3()?;
        let gradient = gradient.contiguous()?;
        let arguments = [x, probe, penalty, &gradient];
        let [dx, dprobe] = backward(arguments, |gpu, [x, probe, penalty, g]| {
            let (mut weights, mut slopes) = (gpu.room(batch * time)?, gpu.room(batch * time)?);
            let (mut dx, mut parts) = (gpu.room(x.values.len())?, gpu.room(batch * dim)?);
            let arguments = &mut [
                Read(&x.values),
                Read(&probe.values),
                Read(&penalty.values),
                Read(&g.values),
                Write(&mut weights),
                Write(&mut slopes),
                Write(&mut dx),
                Write(&mut parts),
                Size(u32::from(self.masked)),
                Size(size(time)?),
                Size(size(dim)?),
            ];
            let grid = Grid::of_blocks(batch, THREADS).sharing(THREADS);
            gpu.launch(KERNELS, "pooling_backward", grid, arguments)?;
            let mut dprobe = gpu.room(dim)?;
            let arguments = &mut [
                Again(&parts),
                Write(&mut dprobe),
                Size(size(batch)?),
                Size(size(dim)?),
            ];
            gpu.launch(KERNELS, "pooling_probe", Grid::over(dim), arguments)?;
            Ok([(dx, x.dims.into()), (dprobe, dim.into())])
        })?;
        Ok((Some(dx), Some(dprobe), None))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Result, Tensor};

    use crate::kernels::gpu::tests::{agrees, normals, shows_nan};
    use crate::layers::{AttentionPooling, Linear};
    use crate::mask::Mask;

    /// Frames, query and key's weight; clips of such lengths.
    fn pool(x: &[Tensor], lengths: &[usize]) -> Result<Tensor> {
        let pooling = AttentionPooling {
            query: x[1].clone(),
            key: Linear {
                weight: x[2].clone(),
                bias: None,
            },
        };
        let mask = Mask::new(lengths, x[0].dim(1)?, DType::F32, x[0].device())?;
        pooling.forward(&x[0], mask.as_ref())
    }

    fn arguments([batch, time, dim]: [usize; 3]) -> [Tensor; 3] {
        [
            normals(&[batch, time, dim], 1),
            normals(&[dim], 2),
            normals(&[dim, dim], 3),
        ]
    }

    #[test]
    fn pooling_is_the_cpus() {
        for (shape, lengths) in [
            ([1, 1, 1], vec![1]),
            ([3, 7, 5], vec![7, 7, 7]),
            ([3, 7, 5], vec![1, 7, 4]),
            ([2, 20, 300], vec![20, 3]),
            ([1, 300, 4], vec![300]),
        ] {
            let name = format!("pooling {shape:?} of {lengths:?}");
            agrees(&name, &arguments(shape), 2e-5, |x| pool(x, &lengths));
        }
    }

    #[test]
    fn pooling_shows_nan() {
        let shape = [2, 4, 3];
        shows_nan("pooling", &arguments(shape), |x| pool(x, &[4, 4]));
    }
}
