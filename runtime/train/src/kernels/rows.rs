//! Adding a bias to every row.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{Real, by_type, hold, misfit, slice};

struct AddBias;

/// `[rows, dim] + [dim]`.
///
/// # Errors
/// When the widths differ.
pub fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.apply_op2(bias, AddBias)
}

fn forward<T: Real>(
    x: &CpuStorage,
    xl: &Layout,
    bias: &CpuStorage,
    bl: &Layout,
) -> Result<CpuStorage> {
    let (x, bias) = (slice::<T>(x, xl)?, slice::<T>(bias, bl)?);
    let mut y = Vec::with_capacity(x.len());
    for row in x.chunks_exact(bias.len()) {
        y.extend(row.iter().zip(bias).map(|(&x, &b)| x + b));
    }
    Ok(T::to_cpu_storage_owned(y))
}

fn column_sums<T: Real>(gradient: &Tensor, dim: usize) -> Result<Tensor> {
    let held = hold(gradient)?;
    let mut sums = vec![T::zero(); dim];
    for row in held.slice::<T>()?.chunks_exact(dim) {
        for (sum, &entry) in sums.iter_mut().zip(row) {
            *sum += entry;
        }
    }
    Tensor::from_vec(sums, dim, gradient.device())
}

impl CustomOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        bias: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        if xl.dims().last() != bl.dims().last() {
            return Err(misfit("add-bias", xl.dims(), bl.dims()));
        }
        let y = by_type!(
            candle_core::backend::BackendStorage::dtype(x),
            forward(x, xl, bias, bl)
        )?;
        Ok((y, xl.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let sums = by_type!(gradient.dtype(), column_sums(&gradient, bias.dim(0)?))?;
        Ok((Some(gradient), Some(sums)))
    }
}
