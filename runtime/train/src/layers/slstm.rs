//! The sLSTM: scalar memories with exponential input gates that hear their own hidden state.

use candle_core::{Result, Tensor};

use super::swoosh::softplus;
use crate::kernels;

/// `[ĩ; f̃; z̃; õ] = g_t + R h_{t−1}`, `c_t = σ(f̃) c_{t−1} + e^{ĩ} tanh(z̃)`,
/// `n_t = σ(f̃) n_{t−1} + e^{ĩ}`, `h_t = σ(õ) c_t / n_t`, stabilised; gates `g`
/// `[batch, time, 4 · dim]`, `R` `[4 · dim, width]`: each of the `dim / width` heads hears its own
/// hidden state alone → `[batch, time, dim]`. Causal.
///
/// # Errors
/// When the shapes don't fit.
pub fn scalar_memory(gates: &Tensor, recurrent: &Tensor) -> Result<Tensor> {
    if kernels::apply_to(gates) {
        kernels::scalar_memory(gates, recurrent)
    } else {
        composed(gates, recurrent)
    }
}

/// The same of candle's own operations, for every device.
///
/// # Errors
/// When the shapes don't fit.
pub fn composed(gates: &Tensor, recurrent: &Tensor) -> Result<Tensor> {
    let (batch, time, columns) = gates.dims3()?;
    let (dim, width) = (columns / 4, recurrent.dim(1)?);
    let heads = dim / width;
    // [heads, width, 4 · width], the last dimension gate by gate.
    let recurrent = recurrent
        .reshape((4, heads, width, width))?
        .permute((1, 3, 0, 2))?
        .contiguous()?
        .reshape((heads, width, 4 * width))?;
    let mut before: Option<[Tensor; 4]> = None; // c, n, m, h of [batch, dim]
    let mut outputs = Vec::with_capacity(time);
    for t in 0..time {
        let mut row = gates.narrow(1, t, 1)?.squeeze(1)?; // [batch, 4 · dim]
        if let Some([_, _, _, h]) = &before {
            let h = h
                .reshape((batch, heads, width))?
                .transpose(0, 1)?
                .contiguous()?;
            let heard = h
                .matmul(&recurrent)? // [heads, batch, 4 · width]
                .reshape((heads, batch, 4, width))?
                .permute((1, 2, 0, 3))?
                .contiguous()?
                .reshape((batch, 4 * dim))?;
            row = (row + heard)?;
        }
        let gate = |index: usize| row.narrow(1, index * dim, dim);
        let input = gate(0)?;
        let (z, output) = (gate(2)?.tanh()?, sigmoid(&gate(3)?)?);
        let [c, n, m] = match &before {
            None => {
                let m = input.detach();
                let input = (input - &m)?.exp()?;
                [(&input * z)?, input, m]
            }
            Some([c, n, m, _]) => {
                let kept = (m - softplus(&gate(1)?.neg()?)?)?;
                let m = kept.maximum(&input)?.detach();
                let (input, forget) = ((input - &m)?.exp()?, (kept - &m)?.exp()?);
                [
                    ((c * &forget)? + (&input * z)?)?,
                    ((n * forget)? + input)?,
                    m,
                ]
            }
        };
        let h = (output * (&c / &n)?)?;
        outputs.push(h.clone());
        before = Some([c, n, m, h]);
    }
    Tensor::stack(&outputs, 1)
}

fn sigmoid(x: &Tensor) -> Result<Tensor> {
    (x.neg()?.exp()? + 1.0)?.recip()
}
