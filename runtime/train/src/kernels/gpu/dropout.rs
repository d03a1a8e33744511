//! Dropout on a GPU.

use candle_core::{CudaStorage, Layout, Result, Tensor};

use super::Argument::{Number, Read, Size, Write};
use super::{Given, Gpu, Grid, Module, Values, backward, forward, module, size};
use crate::kernels::dropout::SeededDropout;

const KERNELS: Module = module!("dropout");

impl SeededDropout {
    /// Any shape.
    pub(in crate::kernels) fn on_gpu(
        &self,
        x: &CudaStorage,
        layout: &Layout,
    ) -> Result<CudaStorage> {
        forward([(x, layout)], |gpu, [x]| self.dropped(gpu, &x))
    }

    /// The gradient of the argument, by the factors of the forward pass.
    pub(in crate::kernels) fn back_on_gpu(&self, gradient: &Tensor) -> Result<Tensor> {
        let [dx] = backward([gradient], |gpu, [g]| {
            Ok([(self.dropped(gpu, &g)?, g.dims.into())])
        })?;
        Ok(dx)
    }

    fn dropped(&self, gpu: &Gpu<'_>, x: &Given<'_>) -> Result<Values> {
        let count = x.values.len();
        let mut y = gpu.room(count)?;
        let [low, high] = self.key;
        let arguments = &mut [
            Read(&x.values),
            Write(&mut y),
            Number(self.rate),
            Number(self.keep),
            Size(low),
            Size(high),
            Size(size(count)?),
        ];
        gpu.launch(KERNELS, "dropout_seeded", Grid::over(count), arguments)?;
        Ok(y)
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::gpu::tests::{agrees, normals, shows_nan};
    use crate::kernels::seeded_dropout;

    /// The very entries that the CPU drops, whose generator is checked against published answers, in
    /// both directions.
    #[test]
    fn dropout_is_the_cpus() {
        for (index, rate) in [0.001, 0.1, 0.5, 0.9, 0.999].into_iter().enumerate() {
            let key = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(index as u64 + 1);
            for shape in [&[1][..], &[255], &[3, 257], &[5, 20, 67]] {
                let name = format!("dropout of {shape:?} at {rate}");
                agrees(&name, &[normals(shape, 1)], 0.0, |a| {
                    seeded_dropout(&a[0], key, rate)
                });
            }
        }
        shows_nan("dropout", &[normals(&[40], 1)], |a| {
            seeded_dropout(&a[0], 1, 0.1)
        });
        agrees("dropout of a view", &[normals(&[9, 31], 1)], 0.0, |a| {
            seeded_dropout(&a[0].t()?, 5, 0.4)?.t()
        });
    }
}
