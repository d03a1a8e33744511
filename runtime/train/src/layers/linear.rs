//! An affine map of the last dimension.

use candle_core::{Result, Tensor};

use crate::kernels;
use crate::parameters::Parameters;

/// `y = x Wᵀ + b`.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Option<Tensor>,
}

impl Linear {
    /// Weights uniform within `±1/√in`, bias zero.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Result<Self> {
        #[allow(clippy::cast_precision_loss)]
        let bound = (inputs as f64).sqrt().recip();
        let weight = parameters.uniform(&format!("{name}.weight"), &[outputs, inputs], bound)?;
        let bias = bias
            .then(|| parameters.constant(&format!("{name}.bias"), &[outputs], 0.0))
            .transpose()?;
        Ok(Self { weight, bias })
    }

    /// `[.., in]` → `[.., out]`.
    ///
    /// # Errors
    /// When the last dimension is not `in`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if !kernels::apply_to(x) {
            return self.composed(x);
        }
        by_row(x, self.weight.dim(0)?, |rows| {
            kernels::linear(rows, &self.weight, self.bias.as_ref())
        })
    }

    /// The same of candle's own operations, for every device: one product over all rows, where candle
    /// would broadcast the weight per batch.
    ///
    /// # Errors
    /// When the last dimension is not `in`.
    pub fn composed(&self, x: &Tensor) -> Result<Tensor> {
        by_row(x, self.weight.dim(0)?, |rows| {
            let y = rows.matmul(&self.weight.t()?)?;
            match &self.bias {
                Some(bias) => y.broadcast_add(bias),
                None => Ok(y),
            }
        })
    }
}

/// A map of `[rows, in]` to `[rows, out]`, of `[.., in]`.
fn by_row(x: &Tensor, out: usize, map: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let mut shape = x.dims().to_vec();
    let inputs = shape.pop().unwrap_or(1);
    let rows = shape.iter().product::<usize>();
    shape.push(out);
    map(&x.reshape((rows, inputs))?)?.reshape(shape)
}
