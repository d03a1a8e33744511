//! Downsampling and repeating of frames on a GPU.

use candle_core::{CpuStorage, CudaStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::Argument::{Again, Counts, Read, Write};
use super::{Grid, Module, THREADS, backward, forward, module, sizes};
use crate::kernels::misfit;

const KERNELS: Module = module!("resample");

struct Downsample {
    /// Frames of each clip.
    counts: Vec<usize>,
}

/// Windows of as many frames as `alpha` `[factor]` has entries, each the sum of its frames by the softmax
/// of `alpha`; behind a clip's `counts` frames (all without them) its last one is repeated. `x`
/// `[batch, time, dim]` → `[batch, ⌈time / factor⌉, dim]`.
///
/// # Errors
/// When the shapes don't fit.
pub fn downsample(x: &Tensor, alpha: &Tensor, counts: Option<&[usize]>) -> Result<Tensor> {
    let (batch, time, _) = x.dims3()?;
    let counts = counts.map_or_else(|| vec![time; batch], <[usize]>::to_vec);
    let fits = counts.len() == batch && counts.iter().all(|n| (1..=time).contains(n));
    if alpha.rank() != 1 || alpha.elem_count() == 0 || !fits {
        return Err(misfit("downsample", x.dims(), alpha.dims()));
    }
    let op = Downsample { counts };
    x.contiguous()?.apply_op2(&alpha.contiguous()?, op)
}

impl Downsample {
    /// Batch, time, dim and windows of a factor.
    fn sizes(x: &[usize], factor: usize) -> [usize; 4] {
        [x[0], x[1], x[2], x[1].div_ceil(factor)]
    }
}

impl CustomOp2 for Downsample {
    fn name(&self) -> &'static str {
        "downsample"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        candle_core::bail!("the fused downsampling is a GPU's")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        alpha: &CudaStorage,
        al: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let factor = al.dims()[0];
        let [batch, time, dim, windows] = Self::sizes(xl.dims(), factor);
        let y = forward([(x, xl), (alpha, al)], |gpu, [x, alpha]| {
            let counts = gpu.counts(&self.counts)?;
            let entries = batch * windows * dim;
            let mut y = gpu.room(entries)?;
            let mut arguments = vec![
                Read(&x.values),
                Read(&alpha.values),
                Counts(&counts),
                Write(&mut y),
            ];
            arguments.extend(sizes([batch, time, dim, windows, factor])?);
            gpu.launch(
                KERNELS,
                "resample_down",
                Grid::over(entries),
                &mut arguments,
            )?;
            Ok(y)
        })?;
        Ok((y, (batch, windows, dim).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        alpha: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let factor = alpha.dim(0)?;
        let [batch, time, dim, windows] = Self::sizes(x.dims(), factor);
        let gradient = gradient.contiguous()?;
        let [dx, dalpha] = backward([x, alpha, &gradient], |gpu, [x, alpha, g]| {
            let counts = gpu.counts(&self.counts)?;
            let mut dx = gpu.room(x.values.len())?;
            let mut arguments = vec![
                Read(&alpha.values),
                Counts(&counts),
                Read(&g.values),
                Write(&mut dx),
            ];
            arguments.extend(sizes([batch, time, dim, windows, factor])?);
            let grid = Grid::over(x.values.len());
            gpu.launch(KERNELS, "resample_down_frames", grid, &mut arguments)?;

            let mut parts = gpu.room(batch * factor)?;
            let mut arguments = vec![
                Read(&x.values),
                Counts(&counts),
                Read(&g.values),
                Write(&mut parts),
            ];
            arguments.extend(sizes([time, dim, windows, factor])?);
            let grid = Grid::of_blocks(batch, THREADS).sharing(THREADS);
            gpu.launch(KERNELS, "resample_down_parts", grid, &mut arguments)?;

            let (mut sums, mut dalpha) = (gpu.room(factor)?, gpu.room(factor)?);
            let mut arguments = vec![
                Read(&alpha.values),
                Again(&parts),
                Write(&mut sums),
                Write(&mut dalpha),
            ];
            arguments.extend(sizes([batch, factor])?);
            let grid = Grid::of_blocks(1, THREADS);
            gpu.launch(KERNELS, "resample_down_alpha", grid, &mut arguments)?;
            Ok([(dx, x.dims.into()), (dalpha, factor.into())])
        })?;
        Ok((Some(dx), Some(dalpha)))
    }
}

struct Upsample {
    factor: usize,
    time: usize,
}

/// Every frame `factor` times, the first `time` of them: `[batch, windows, dim]` → `[batch, time, dim]`.
///
/// # Errors
/// When there are not as many.
pub fn upsample(x: &Tensor, factor: usize, time: usize) -> Result<Tensor> {
    let (_, windows, _) = x.dims3()?;
    if factor == 0 || time.div_ceil(factor.max(1)) > windows {
        return Err(misfit("upsample", x.dims(), &[factor, time]));
    }
    x.contiguous()?.apply_op1(Upsample { factor, time })
}

impl CustomOp1 for Upsample {
    fn name(&self) -> &'static str {
        "upsample"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        candle_core::bail!("the fused upsampling is a GPU's")
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (batch, windows, dim) = layout.shape().dims3()?;
        let y = forward([(x, layout)], |gpu, [x]| {
            let entries = batch * self.time * dim;
            let mut y = gpu.room(entries)?;
            let mut arguments = vec![Read(&x.values), Write(&mut y)];
            arguments.extend(sizes([batch, windows, dim, self.time, self.factor])?);
            gpu.launch(KERNELS, "resample_up", Grid::over(entries), &mut arguments)?;
            Ok(y)
        })?;
        Ok((y, (batch, self.time, dim).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (batch, windows, dim) = x.dims3()?;
        let gradient = gradient.contiguous()?;
        let [dx] = backward([&gradient], |gpu, [g]| {
            let entries = batch * windows * dim;
            let mut dx = gpu.room(entries)?;
            let mut arguments = vec![Read(&g.values), Write(&mut dx)];
            arguments.extend(sizes([batch, windows, dim, self.time, self.factor])?);
            let grid = Grid::over(entries);
            gpu.launch(KERNELS, "resample_up_backward", grid, &mut arguments)?;
            Ok([(dx, (batch, windows, dim).into())])
        })?;
        Ok(Some(dx))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Result, Tensor};

    use crate::kernels::gpu::tests::{agrees, normals, shows_nan};
    use crate::layers::{self, Downsample};
    use crate::mask::Mask;

    fn down(x: &[Tensor], lengths: &[usize]) -> Result<Tensor> {
        let mask = Mask::new(lengths, x[0].dim(1)?, DType::F32, x[0].device())?;
        let alpha = x[1].clone();
        Downsample { alpha }.forward(&x[0], mask.as_ref())
    }

    /// Whole windows and parts of one, clips that end in the middle and long before, windows longer than
    /// a clip, more entries than a block has threads.
    #[test]
    fn downsampling_is_the_cpus() {
        for ([batch, time, dim], factor, lengths) in [
            ([1, 1, 1], 1, vec![1]),
            ([2, 6, 3], 2, vec![6, 6]),
            ([2, 7, 3], 2, vec![7, 7]),
            ([4, 9, 5], 4, vec![9, 1, 4, 6]),
            ([2, 3, 4], 8, vec![3, 2]),
            ([3, 20, 130], 3, vec![20, 5, 19]),
        ] {
            let arguments = [normals(&[batch, time, dim], 1), normals(&[factor], 2)];
            let name = format!("{time} frames by {factor} of {lengths:?}");
            agrees(&name, &arguments, 1e-5, |x| down(x, &lengths));
        }
        let arguments = [normals(&[2, 6, 3], 1), normals(&[2], 2)];
        shows_nan("downsampling", &arguments, |x| down(x, &[6, 5]));
    }

    #[test]
    fn upsampling_is_the_cpus() {
        for ([batch, windows, dim], factor, time) in [
            ([1, 1, 1], 1, 1),
            ([2, 3, 4], 2, 6),
            ([2, 3, 4], 2, 5),
            ([3, 5, 130], 4, 17),
        ] {
            let arguments = [normals(&[batch, windows, dim], 1)];
            let name = format!("{windows} windows by {factor} to {time}");
            agrees(&name, &arguments, 1e-6, |x| {
                layers::upsample(&x[0], factor, time)
            });
        }
    }
}
