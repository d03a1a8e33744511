//! BiasNorm and group norm over the last dimension.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::simd::{add, append, total};
use super::{Real, by_type, hold, misfit, slice};

type Storages<'a> = [(&'a CpuStorage, &'a Layout); 3];

pub(super) enum Norm {
    /// Arguments `x`, `bias`, `log_scale`.
    Bias { epsilon: f64 },
    /// Arguments `x`, `weight`, `bias`.
    Group { groups: usize, epsilon: f64 },
}

impl Norm {
    fn check(&self, x: &Layout, a: &Layout, b: &Layout) -> Result<()> {
        let fits = match self {
            Self::Bias { .. } => b.shape().elem_count() == 1,
            Self::Group { groups, .. } => {
                a.dims() == b.dims() && a.dims()[0].is_multiple_of(*groups)
            }
        };
        if x.dims().last() != a.dims().last() || !fits {
            return Err(misfit("norm", x.dims(), a.dims()));
        }
        Ok(())
    }
}

/// `x e^{log_scale} / √(mean (x − bias)² + ε)`; `x` `[.., dim]`, `bias` `[dim]`, `log_scale` scalar.
///
/// # Errors
/// When the shapes don't fit.
pub fn bias_norm(x: &Tensor, bias: &Tensor, log_scale: &Tensor, epsilon: f64) -> Result<Tensor> {
    x.contiguous()?.apply_op3(
        &bias.contiguous()?,
        &log_scale.contiguous()?,
        Norm::Bias { epsilon },
    )
}

/// Zero mean and unit variance in each of `groups` groups of the last dimension, then
/// `weight ⊙ · + bias`; `x` `[.., dim]`, the others `[dim]`.
///
/// # Errors
/// When the shapes don't fit.
pub fn group_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    epsilon: f64,
) -> Result<Tensor> {
    x.contiguous()?.apply_op3(
        &weight.contiguous()?,
        &bias.contiguous()?,
        Norm::Group { groups, epsilon },
    )
}

#[allow(clippy::cast_precision_loss)]
fn inverse<T: Real>(width: usize) -> T {
    T::of(1.0 / width as f64)
}

#[inline(always)]
fn mean<T: Real>(x: &[T]) -> T {
    total([x], |[x]| x) * inverse(x.len())
}

/// `1 / √(sum / width + ε)`.
#[inline(always)]
fn rate<T: Real>(sum: T, width: usize, epsilon: f64) -> T {
    T::one() / (sum * inverse(width) + T::of(epsilon)).sqrt()
}

#[inline(always)]
fn forward<T: Real>(op: &Norm, [x, a, b]: Storages<'_>) -> Result<CpuStorage> {
    let (x, a, b) = (
        slice::<T>(x.0, x.1)?,
        slice::<T>(a.0, a.1)?,
        slice::<T>(b.0, b.1)?,
    );
    let dim = a.len();
    let mut y = Vec::with_capacity(x.len());
    match *op {
        Norm::Bias { epsilon } => {
            let scale = b[0].exp();
            for row in x.chunks_exact(dim) {
                let square = total([row, a], |[x, b]| (x - b) * (x - b));
                let rate = rate(square, dim, epsilon) * scale;
                append([&mut y], [row], |[x]| [x * rate]);
            }
        }
        Norm::Group { groups, epsilon } => {
            let width = dim / groups;
            for row in x.chunks_exact(dim) {
                for (group, x) in row.chunks_exact(width).enumerate() {
                    let at = group * width..(group + 1) * width;
                    let mean = mean(x);
                    let square = total([x], |[x]| (x - mean) * (x - mean));
                    let rate = rate(square, width, epsilon);
                    append([&mut y], [x, &a[at.clone()], &b[at]], |[x, w, b]| {
                        [(x - mean) * rate * w + b]
                    });
                }
            }
        }
    }
    Ok(T::to_cpu_storage_owned(y))
}

#[inline(always)]
fn backward<T: Real>(op: &Norm, [x, a, b]: [&Tensor; 3], gradient: &Tensor) -> Result<[Tensor; 3]> {
    let (xs, ahs, bs, gs) = (hold(x)?, hold(a)?, hold(b)?, hold(gradient)?);
    let (xs, ahs, bs, gs) = (
        xs.slice::<T>()?,
        ahs.slice::<T>()?,
        bs.slice::<T>()?,
        gs.slice::<T>()?,
    );
    let dim = ahs.len();
    let mut dx = Vec::with_capacity(xs.len());
    let (mut da, mut db) = (vec![T::zero(); dim], vec![T::zero(); bs.len()]);
    let rows = xs.chunks_exact(dim).zip(gs.chunks_exact(dim));
    match *op {
        Norm::Bias { epsilon } => {
            let scale = bs[0].exp();
            for (x, g) in rows {
                let square = total([x, ahs], |[x, b]| (x - b) * (x - b));
                let along = total([x, g], |[x, g]| g * x);
                let rate = rate(square, dim, epsilon);
                db[0] += along * rate * scale;
                let pull = along * scale * rate * rate * rate * inverse(dim);
                append([&mut dx], [x, g, ahs], |[x, g, b]| {
                    [g * rate * scale - (x - b) * pull]
                });
                add(&mut da, [x, ahs], |[x, b]| (x - b) * pull);
            }
        }
        Norm::Group { groups, epsilon } => {
            let width = dim / groups;
            for (row, g) in rows {
                for group in 0..groups {
                    let at = group * width..(group + 1) * width;
                    let (x, g, w) = (&row[at.clone()], &g[at.clone()], &ahs[at.clone()]);
                    let mean = mean(x);
                    let square = total([x], |[x]| (x - mean) * (x - mean));
                    let sum = total([g, w], |[g, w]| g * w);
                    let along = total([x, g, w], |[x, g, w]| g * w * (x - mean));
                    let rate = rate(square, width, epsilon);
                    let (sum, along) = (sum * inverse(width), along * rate * inverse(width));
                    append([&mut dx], [x, g, w], |[x, g, w]| {
                        [rate * (g * w - sum - (x - mean) * rate * along)]
                    });
                    add(&mut da[at.clone()], [x, g], |[x, g]| {
                        g * ((x - mean) * rate)
                    });
                    add(&mut db[at], [g], |[g]| g);
                }
            }
        }
    }
    Ok([
        Tensor::from_vec(dx, x.shape(), x.device())?,
        Tensor::from_vec(da, a.shape(), a.device())?,
        Tensor::from_vec(db, b.shape(), b.device())?,
    ])
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.check(xl, al, bl)?;
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let y = by_type!(dtype, forward(self, [(x, xl), (a, al), (b, bl)]))?;
        Ok((y, xl.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        a: &CudaStorage,
        al: &Layout,
        b: &CudaStorage,
        bl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.check(xl, al, bl)?;
        let y = self.on_gpu([(x, xl), (a, al), (b, bl)])?;
        Ok((y, xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let [dx, da, db] = self.back_on_gpu([x, a, b], &gradient)?;
            return Ok((Some(dx), Some(da), Some(db)));
        }
        let [dx, da, db] = by_type!(x.dtype(), backward(self, [x, a, b], &gradient))?;
        Ok((Some(dx), Some(da), Some(db)))
    }
}
