//! The sLSTM: scalar memories with exponential input gates that hear their own hidden state.

use candle_core::{Result, Tensor};

use super::linear::Linear;
use super::norm::LayerNorm;
use super::swoosh::softplus;
use crate::kernels;
use crate::parameters::Parameters;

/// Where biases of the forget gates start: a memory of some twenty frames.
const FORGET_BIAS: f32 = 3.0;

/// `[ĩ; f̃; z̃; õ] = W x_t + b + R h_{t−1}`, `c_t = σ(f̃) c_{t−1} + e^{ĩ} tanh(z̃)`,
/// `n_t = σ(f̃) n_{t−1} + e^{ĩ}`, `h_t = σ(õ) c_t / n_t`, stabilised. Causal.
#[derive(Debug, Clone)]
pub struct Cells {
    /// `dim → 4 · dim`.
    pub gates: Linear,
    /// `R`, `[4 · dim, width]`: each of the `dim / width` heads hears its own hidden state alone.
    pub recurrent: Tensor,
}

impl Cells {
    /// `[batch, time, dim]` → `[batch, time, dim]`.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if kernels::apply_to(x) {
            kernels::scalar_memory(&self.gates.forward(x)?, &self.recurrent)
        } else {
            self.composed(x)
        }
    }

    /// The same of candle's own operations, for every device.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, time, dim) = x.dims3()?;
        let width = self.recurrent.dim(1)?;
        let heads = dim / width;
        let gates = self.gates.forward(x)?;
        // [heads, width, 4 · width], the last dimension gate by gate.
        let recurrent = self
            .recurrent
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
}

fn sigmoid(x: &Tensor) -> Result<Tensor> {
    (x.neg()?.exp()? + 1.0)?.recip()
}

/// `W_out GroupNorm(cells(x))`.
#[derive(Debug, Clone)]
pub struct SLstm {
    /// The recurrence.
    pub cells: Cells,
    /// One group a head.
    pub norm: LayerNorm,
    /// `dim → dim`.
    pub out: Linear,
}

impl SLstm {
    /// # Errors
    /// When the device has no memory left.
    #[allow(clippy::cast_precision_loss)]
    pub fn new(parameters: &mut Parameters, name: &str, dim: usize, heads: usize) -> Result<Self> {
        let part = |part: &str| format!("{name}.{part}");
        let p = parameters;
        let bound = (dim as f64).sqrt().recip();
        let weight = p.uniform(&part("gates.weight"), &[4 * dim, dim], bound)?;
        let mut biases = vec![0.0; 4 * dim];
        biases[dim..2 * dim].fill(FORGET_BIAS);
        let bias = Some(p.values(&part("gates.bias"), &[4 * dim], biases)?);
        let width = dim / heads;
        let bound = (width as f64).sqrt().recip();
        let recurrent = p.uniform(&part("recurrent"), &[4 * dim, width], bound)?;
        Ok(Self {
            cells: Cells {
                gates: Linear { weight, bias },
                recurrent,
            },
            norm: LayerNorm::new(p, &part("norm"), dim, heads)?,
            out: Linear::new(p, &part("out"), dim, dim, true)?,
        })
    }

    /// `[batch, time, dim]` → `[batch, time, dim]`. Causal.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mixed = self.cells.forward(x)?;
        self.out.forward(&self.norm.forward(&mixed)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Three heads that hear themselves alone; the reference vectors have one.
    #[test]
    fn both_forms_agree_with_several_heads() {
        let mut parameters = Parameters::new(&Device::Cpu, ChaCha8Rng::seed_from_u64(1));
        let cells = SLstm::new(&mut parameters, "layer", 6, 3).unwrap().cells;
        let values: Vec<f32> = (0..2 * 5 * 6).map(|i| (i as f32 * 0.37).sin()).collect();
        let x = Tensor::from_vec(values, (2, 5, 6), &Device::Cpu).unwrap();
        let forms = [cells.forward(&x).unwrap(), cells.composed(&x).unwrap()];
        let results = forms.map(|y| {
            let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let parts = [&y, gradients.get(&cells.recurrent).unwrap()];
            let flat = parts.map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            flat.concat()
        });
        for (kernel, composed) in results[0].iter().zip(&results[1]) {
            assert!((kernel - composed).abs() < 1e-5, "{kernel}, {composed}");
        }
    }
}
