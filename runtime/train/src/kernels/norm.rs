//! BiasNorm and group norm over the last dimension.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::{Real, by_type, hold, misfit, slice};

type Storages<'a> = [(&'a CpuStorage, &'a Layout); 3];

enum Norm {
    /// Arguments `x`, `bias`, `log_scale`.
    Bias { epsilon: f64 },
    /// Arguments `x`, `weight`, `bias`.
    Group { groups: usize, epsilon: f64 },
}

/// `x e^{log_scale} / √(mean (x − bias)² + ε)`; `x` `[.., dim]`, `bias` `[dim]`, `log_scale` scalar.
///
/// # Errors
/// When the shapes don't fit.
pub fn bias_norm(x: &Tensor, bias: &Tensor, log_scale: &Tensor, epsilon: f64) -> Result<Tensor> {
    x.contiguous()?
        .apply_op3(bias, log_scale, Norm::Bias { epsilon })
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
    x.contiguous()?
        .apply_op3(weight, bias, Norm::Group { groups, epsilon })
}

#[allow(clippy::cast_precision_loss)]
fn inverse<T: Real>(width: usize) -> T {
    T::of(1.0 / width as f64)
}

/// `1 / √(mean (x − b)² + ε)`.
fn bias_rate<T: Real>(x: &[T], bias: &[T], epsilon: T) -> T {
    let mut sum = T::zero();
    for (&x, &b) in x.iter().zip(bias) {
        sum += (x - b) * (x - b);
    }
    T::one() / (sum * inverse(x.len()) + epsilon).sqrt()
}

/// Mean and `1 / √(variance + ε)`.
fn moments<T: Real>(x: &[T], epsilon: T) -> (T, T) {
    let mut mean = T::zero();
    for &x in x {
        mean += x;
    }
    mean *= inverse(x.len());
    let mut square = T::zero();
    for &x in x {
        square += (x - mean) * (x - mean);
    }
    (
        mean,
        T::one() / (square * inverse(x.len()) + epsilon).sqrt(),
    )
}

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
                let rate = bias_rate(row, a, T::of(epsilon)) * scale;
                y.extend(row.iter().map(|&x| x * rate));
            }
        }
        Norm::Group { groups, epsilon } => {
            let width = dim / groups;
            for row in x.chunks_exact(dim) {
                for (group, x) in row.chunks_exact(width).enumerate() {
                    let (mean, rate) = moments(x, T::of(epsilon));
                    let at = group * width..(group + 1) * width;
                    let affine = a[at.clone()].iter().zip(&b[at]);
                    y.extend(
                        x.iter()
                            .zip(affine)
                            .map(|(&x, (&w, &b))| (x - mean) * rate * w + b),
                    );
                }
            }
        }
    }
    Ok(T::to_cpu_storage_owned(y))
}

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
                let rate = bias_rate(x, ahs, T::of(epsilon));
                let mut along = T::zero(); // Σ g x
                for (&x, &g) in x.iter().zip(g) {
                    along += g * x;
                }
                db[0] += along * rate * scale;
                let pull = along * scale * rate * rate * rate * inverse(dim);
                for (((&x, &g), &bias), da) in x.iter().zip(g).zip(ahs).zip(&mut da) {
                    let back = (x - bias) * pull;
                    dx.push(g * rate * scale - back);
                    *da += back;
                }
            }
        }
        Norm::Group { groups, epsilon } => {
            let width = dim / groups;
            for (row, g) in rows {
                for group in 0..groups {
                    let at = group * width..(group + 1) * width;
                    let (x, g, w) = (&row[at.clone()], &g[at.clone()], &ahs[at.clone()]);
                    let (mean, rate) = moments(x, T::of(epsilon));
                    let (mut sum, mut along) = (T::zero(), T::zero());
                    for ((&x, &g), &w) in x.iter().zip(g).zip(w) {
                        sum += g * w;
                        along += g * w * (x - mean) * rate;
                    }
                    let (sum, along) = (sum * inverse(width), along * inverse(width));
                    let (da, db) = (&mut da[at.clone()], &mut db[at]);
                    for (i, (&x, &g)) in x.iter().zip(g).enumerate() {
                        let normed = (x - mean) * rate;
                        dx.push(rate * (g * w[i] - sum - normed * along));
                        da[i] += g * normed;
                        db[i] += g;
                    }
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
        let fits = match self {
            Self::Bias { .. } => bl.shape().elem_count() == 1,
            Self::Group { groups, .. } => {
                al.dims() == bl.dims() && al.dims()[0].is_multiple_of(*groups)
            }
        };
        if xl.dims().last() != al.dims().last() || !fits {
            return Err(misfit("norm", xl.dims(), al.dims()));
        }
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let y = by_type!(dtype, forward(self, [(x, xl), (a, al), (b, bl)]))?;
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
        let [dx, da, db] = by_type!(x.dtype(), backward(self, [x, a, b], &gradient))?;
        Ok((Some(dx), Some(da), Some(db)))
    }
}
