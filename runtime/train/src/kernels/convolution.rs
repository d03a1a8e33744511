//! Depthwise convolution over time with zero padding, centred or causal.

use std::ops::Range;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::simd::{LANES, Lanes, add, load, store};
use super::{Real, by_type, hold, misfit, slice};

pub(super) struct DepthwiseConv1d {
    /// Frames before a frame that it sees.
    pub(super) before: usize,
}

impl DepthwiseConv1d {
    fn check(&self, x: &Layout, weight: &Layout, bias: &Layout) -> Result<()> {
        let (_, _, dim) = x.shape().dims3()?;
        let (channels, _, kernel) = weight.shape().dims3()?;
        if channels != dim || bias.dims() != [dim] || self.before >= kernel {
            return Err(misfit("depthwise-conv1d", x.dims(), weight.dims()));
        }
        Ok(())
    }
}

/// `x` `[batch, time, dim]`, `weight` `[dim, 1, kernel]`, `bias` `[dim]`; frame `t` sees the frames
/// `t − before ..  t − before + kernel`, and zeros where there are none.
///
/// # Errors
/// When the shapes don't fit.
pub fn depthwise_conv1d(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    before: usize,
) -> Result<Tensor> {
    let (weight, bias) = (weight.contiguous()?, bias.contiguous()?);
    x.contiguous()?
        .apply_op3(&weight, &bias, DepthwiseConv1d { before })
}

/// `[dim, kernel]` → `[kernel, dim]`, so that a tap is a row.
fn taps<T: Real>(weight: &[T], dim: usize) -> Vec<T> {
    let kernel = weight.len() / dim;
    (0..weight.len())
        .map(|i| weight[i % dim * kernel + i / dim])
        .collect()
}

/// The taps that reach a real frame from frame `t`; tap `k` reads frame `t + k − before`.
fn reach(t: usize, time: usize, kernel: usize, before: usize) -> Range<usize> {
    before.saturating_sub(t)..kernel.min(time + before - t)
}

/// `sum += x y`.
#[inline(always)]
fn add_product<T: Real>(sum: &mut Lanes<T>, x: &[T], y: &[T]) {
    let (x, y) = (load(x), load(y));
    for l in 0..LANES {
        sum[l] += x[l] * y[l];
    }
}

#[inline(always)]
fn forward<T: Real>(
    op: &DepthwiseConv1d,
    (time, dim): (usize, usize),
    [x, weight, bias]: [(&CpuStorage, &Layout); 3],
) -> Result<CpuStorage> {
    let (x, bias) = (slice::<T>(x.0, x.1)?, slice::<T>(bias.0, bias.1)?);
    let taps = taps(slice::<T>(weight.0, weight.1)?, dim);
    let kernel = taps.len() / dim;
    let mut y = Vec::with_capacity(x.len());
    let mut row = vec![T::zero(); dim];
    for clip in x.chunks_exact(time * dim) {
        for t in 0..time {
            for first in (0..dim).step_by(LANES) {
                let mut sum = load(&bias[first..]);
                for k in reach(t, time, kernel, op.before) {
                    let frame = &clip[(t + k - op.before) * dim..][..dim];
                    let tap = &taps[k * dim..][..dim];
                    add_product(&mut sum, &frame[first..], &tap[first..]);
                }
                store(&mut row[first..], &sum);
            }
            y.extend_from_slice(&row);
        }
    }
    Ok(T::to_cpu_storage_owned(y))
}

#[inline(always)]
fn backward<T: Real>(
    op: &DepthwiseConv1d,
    x: &Tensor,
    weight: &Tensor,
    gradient: &Tensor,
) -> Result<[Tensor; 3]> {
    let (_, time, dim) = x.dims3()?;
    let (xs, ws, gs) = (hold(x)?, hold(weight)?, hold(gradient)?);
    let (xs, gs) = (xs.slice::<T>()?, gs.slice::<T>()?);
    let taps = taps(ws.slice::<T>()?, dim);
    let kernel = taps.len() / dim;
    let mut dx = Vec::with_capacity(xs.len());
    let (mut dtaps, mut dbias) = (vec![T::zero(); taps.len()], vec![T::zero(); dim]);
    let mut row = vec![T::zero(); dim];
    let clips = xs.chunks_exact(time * dim).zip(gs.chunks_exact(time * dim));
    for (x, g) in clips {
        for t in 0..time {
            // Of the frames that see frame t, tap k is that of frame t + before − k.
            let taps_of_it =
                (t + op.before + 1).saturating_sub(time)..kernel.min(t + op.before + 1);
            for first in (0..dim).step_by(LANES) {
                let mut sum = [T::zero(); LANES];
                for k in taps_of_it.clone() {
                    let g = &g[(t + op.before - k) * dim..][..dim];
                    let tap = &taps[k * dim..][..dim];
                    add_product(&mut sum, &g[first..], &tap[first..]);
                }
                store(&mut row[first..], &sum);
            }
            dx.extend_from_slice(&row);
            add(&mut dbias, [&g[t * dim..][..dim]], |[g]| g);
        }
        for (k, dtap) in dtaps.chunks_exact_mut(dim).enumerate() {
            for first in (0..dim).step_by(LANES) {
                let mut sum = load(&dtap[first..]);
                for t in op.before.saturating_sub(k)..time.min((time + op.before).saturating_sub(k))
                {
                    let frame = &x[(t + k - op.before) * dim..][..dim];
                    let g = &g[t * dim..][..dim];
                    add_product(&mut sum, &g[first..], &frame[first..]);
                }
                store(&mut dtap[first..], &sum);
            }
        }
    }
    let dweight: Vec<T> = (0..dtaps.len())
        .map(|i| dtaps[i % kernel * dim + i / kernel])
        .collect();
    Ok([
        Tensor::from_vec(dx, x.shape(), x.device())?,
        Tensor::from_vec(dweight, weight.shape(), weight.device())?,
        Tensor::from_vec(dbias, dim, weight.device())?,
    ])
}

impl CustomOp3 for DepthwiseConv1d {
    fn name(&self) -> &'static str {
        "depthwise-conv1d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        weight: &CpuStorage,
        wl: &Layout,
        bias: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.check(xl, wl, bl)?;
        let (_, time, dim) = xl.shape().dims3()?;
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let y = by_type!(
            dtype,
            forward(self, (time, dim), [(x, xl), (weight, wl), (bias, bl)])
        )?;
        Ok((y, xl.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        weight: &CudaStorage,
        wl: &Layout,
        bias: &CudaStorage,
        bl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.check(xl, wl, bl)?;
        let y = self.on_gpu([(x, xl), (weight, wl), (bias, bl)])?;
        Ok((y, xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let [dx, dweight, dbias] = self.back_on_gpu(x, weight, &gradient)?;
            return Ok((Some(dx), Some(dweight), Some(dbias)));
        }
        let [dx, dweight, dbias] = by_type!(x.dtype(), backward(self, x, weight, &gradient))?;
        Ok((Some(dx), Some(dweight), Some(dbias)))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use crate::layers::DepthwiseConv1d;

    /// Clips of fewer frames than a filter looks ahead train as by candle's own operations.
    #[test]
    fn clips_shorter_than_half_a_filter_have_gradients() {
        let wave = |count: usize| (0..count).map(|i| (i as f64).sin()).collect::<Vec<_>>();
        for time in 1..5 {
            let shape = (2, time, 3);
            let x = Var::from_vec(wave(6 * time), shape, &Device::Cpu).unwrap();
            let weight = Var::from_vec(wave(21), (3, 1, 7), &Device::Cpu).unwrap();
            let layer = DepthwiseConv1d {
                before: 3,
                weight: weight.as_tensor().clone(),
                bias: Var::from_vec(wave(3), 3, &Device::Cpu)
                    .unwrap()
                    .as_tensor()
                    .clone(),
            };
            let gradients = [layer.forward(&x), layer.composed(&x)].map(|y| {
                let gradients = y.unwrap().sqr().unwrap().backward().unwrap();
                [&x, &weight].map(|of| {
                    let gradient = gradients.get(of).unwrap().flatten_all().unwrap();
                    gradient.to_vec1::<f64>().unwrap()
                })
            });
            let [fused, composed] = gradients.map(|both| both.concat());
            for (fused, composed) in fused.iter().zip(&composed) {
                assert!((fused - composed).abs() < 1e-12, "{time} frames");
            }
        }
    }
}
