//! Matrices in blocks of 8 bits, the one form in which every file's weights are kept.
//!
//! candle's own product of a quantised matrix hands each row to a pool of spinning threads, one a
//! core. In a process whose cores are busy with trainers that takes ten times longer than the
//! product itself, so that a single row is multiplied here, in the caller's thread, with candle's
//! kernel for two rows of blocks. Kinds of blocks for which candle has no fast kernel (Q4_1, Q5_0,
//! Q5_1) gain too: 8 bits hold 4 or 5 with hardly a loss.

use candle_core::quantized::k_quants::{BlockQ8_0, GgmlType};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Result, Tensor};

/// From so many rows on, a product through plain floats is faster.
const WIDE: usize = 12;

/// A matrix [out, in].
pub(super) struct Linear {
    output: usize,
    input: usize,
    /// Row by row.
    blocks: Vec<BlockQ8_0>,
}

impl std::fmt::Debug for Linear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Linear([{}, {}])", self.output, self.input)
    }
}

impl Linear {
    /// Whether rows of so many numbers are whole blocks.
    pub(super) fn fits(input: usize) -> bool {
        input.is_multiple_of(GgmlDType::Q8_0.block_size())
    }

    /// Rows must [fit](Self::fits).
    pub(super) fn new(weight: &QTensor) -> Result<Self> {
        let (output, input) = weight.shape().dims2()?;
        let weights = weight.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()?;
        Ok(Self {
            output,
            input,
            blocks: quantise(&weights),
        })
    }

    /// [rows, in] → [rows, out]
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, _) = x.dims2()?;
        if rows >= WIDE {
            return x.matmul(&self.floats(0, self.output)?.t()?);
        }
        let mut y = Vec::with_capacity(rows * self.output);
        for row in x.to_vec2::<f32>()? {
            let row = quantise(&row);
            let weights = self.blocks.chunks_exact(row.len());
            y.extend(weights.map(|weights| BlockQ8_0::vec_dot(self.input, weights, &row)));
        }
        Tensor::from_vec(y, (rows, self.output), &Device::Cpu)
    }

    /// The matrix's rows of these numbers: [ids, in]
    pub(super) fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        let rows: Vec<Tensor> = ids
            .iter()
            .map(|id| match usize::try_from(*id) {
                Ok(row) if row < self.output => self.floats(row, 1),
                _ => candle_core::bail!("no row {id} of {}", self.output),
            })
            .collect::<Result<_>>()?;
        Tensor::cat(&rows, 0)
    }

    /// [rows, in]
    fn floats(&self, first: usize, rows: usize) -> Result<Tensor> {
        let blocks = self.input / BlockQ8_0::BLCK_SIZE;
        let mut floats = vec![0.0; rows * self.input];
        BlockQ8_0::to_float(&self.blocks[first * blocks..][..rows * blocks], &mut floats);
        Tensor::from_vec(floats, (rows, self.input), &Device::Cpu)
    }
}

fn quantise(floats: &[f32]) -> Vec<BlockQ8_0> {
    let mut blocks = vec![BlockQ8_0::zeros(); floats.len() / BlockQ8_0::BLCK_SIZE];
    BlockQ8_0::from_float(floats, &mut blocks);
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers between −1 and 1 in no order that a block would notice.
    fn waves(rows: usize, step: f64) -> Tensor {
        let numbers = Tensor::arange(0.0_f32, (rows * 64) as f32, &Device::Cpu).unwrap();
        let waves = numbers.affine(step, 0.3).unwrap().sin().unwrap();
        waves.reshape((rows, 64)).unwrap()
    }

    #[test]
    fn few_rows_and_many_are_the_same_product() {
        let weight = waves(40, 0.71);
        let linear = Linear::new(&QTensor::quantize(&weight, GgmlDType::Q4_1).unwrap()).unwrap();
        let x = waves(WIDE, 1.13);
        let wide = linear.forward(&x).unwrap();
        let narrow = linear.forward(&x.narrow(0, 2, 3).unwrap()).unwrap();
        let apart = (wide.narrow(0, 2, 3).unwrap() - narrow).unwrap();
        let furthest = apart
            .abs()
            .unwrap()
            .max_all()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        // 64 products of numbers below 1, each rounded to 1 part in 254.
        assert!(furthest < 0.1, "{furthest}");
        let rows = linear.rows(&[3, 39]).unwrap();
        let apart = (rows.narrow(0, 1, 1).unwrap() - weight.narrow(0, 39, 1).unwrap()).unwrap();
        let furthest = apart
            .abs()
            .unwrap()
            .max_all()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert!(furthest < 0.08, "{furthest}");
        assert!(linear.rows(&[40]).is_err());
    }
}
